"""FixedResolver: names looked up in a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from iris_actor.actor.environment import Environment
from iris_actor.actor.resolve_result import ResolveResult
from iris_actor.actor.resolver import Resolver
from iris_actor.address import Address
from iris_actor.registry.endpoint import ActorId, Endpoint
from iris_actor.rpc.credentials import Credentials


class FixedResolver(Resolver):
    """Resolves names from a fixed table: for servers without a registry, and for tests.

    Args:
        addresses: for each actor name the ``host:port`` of its servers, one or several. An IPv6 host stands
            in brackets.
        namespace: as for other resolvers.
        credentials: what the servers ask for.

    Raises:
        InvalidAddressError: (a ValueError) for an address that is not ``host:port``.
        InvalidNameError: (a ValueError) for a bad name.
    """

    def __init__(
        self,
        addresses: Mapping[str, str | Sequence[str]],
        *,
        namespace: str | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self.namespace = Environment.read().namespace(namespace)
        self.credentials = credentials
        self._addresses = {
            name: [given] if isinstance(given, str) else list(given) for name, given in addresses.items()
        }
        self._endpoints = {}
        self._results: dict[str, ResolveResult] = {}
        for name, given in self._addresses.items():
            full = self.qualify(name)
            self._endpoints[full] = tuple(
                Endpoint(name=full, actor_id=ActorId(""), address=str(Address.parse(address)))
                for address in given
            )

    def resolve(self, name: str) -> ResolveResult:
        result = self._results.get(name)
        if result is None:
            full = self.qualify(name, framework=True)
            result = self._results[name] = ResolveResult(full, self._endpoints.get(full, ()), 0)
        return result

    known = resolve

    def list(self, prefix: str = "", *, timeout: float | None = 5.0) -> list[str]:  # noqa: ARG002
        full = prefix[1:] if prefix.startswith("/") else f"{self.namespace}/{prefix}"
        return sorted(name for name, there in self._endpoints.items() if there and name.startswith(full))

    def subscribe(self, name: str, on_change: Callable[[], None]) -> Callable[[], None]:  # noqa: ARG002
        return lambda: None

    def wait_synced(self, name: str, timeout: float | None = None) -> bool:  # noqa: ARG002
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        return _fixed_resolver, (self._addresses, self.namespace, self.credentials)

    def __repr__(self) -> str:
        return f"FixedResolver({self._addresses!r}, namespace={self.namespace!r})"


def _fixed_resolver(
    addresses: Mapping[str, Sequence[str]], namespace: str, credentials: Credentials | None
) -> FixedResolver:
    return FixedResolver(addresses, namespace=namespace, credentials=credentials)
