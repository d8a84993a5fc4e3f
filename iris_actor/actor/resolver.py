"""Resolvers: from an actor name to the endpoints that serve it.

A resolver answers from a cache that a watch keeps current: `resolve` makes no round trip.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from iris_actor.actor.environment import REGISTRY, Environment
from iris_actor.deadline import Deadline
from iris_actor.errors import InvalidURLError, OutsideJobError
from iris_actor.naming import qualify
from iris_actor.registry import connect_registry
from iris_actor.registry.endpoint import ActorId, Endpoint
from iris_actor.registry.registry import Directory, Registry
from iris_actor.rpc.credentials import Credentials
from iris_actor.rpc.waiters import Waiters

if TYPE_CHECKING:
    from iris_actor.actor.balancer import Balancer
    from iris_actor.actor.pool import ActorPool

T = TypeVar("T")

OnFull = Literal["wait", "raise"]


@dataclass(frozen=True, slots=True)
class ResolveResult:
    """The endpoints of a name at one moment.

    Attributes:
        name: full name, namespace included.
        endpoints: where it is served, in order of registration.
        revision: registry revision at which the resolver saw this.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    revision: int

    @property
    def is_empty(self) -> bool:
        """Whether nobody serves the name."""
        return not self.endpoints

    def first(self) -> Endpoint:
        """The endpoint that was registered first.

        Raises:
            LookupError: when there is none.
        """
        if not self.endpoints:
            raise LookupError(f"no endpoint serves {self.name!r}")
        return self.endpoints[0]


class Resolver(ABC):
    """Finds endpoints by actor name. Thread-safe, a context manager."""

    namespace: str
    credentials: Credentials | None

    @abstractmethod
    def resolve(self, name: str) -> ResolveResult:
        """The endpoints of `name` as they are known now, without a round trip.

        Raises:
            InvalidNameError: (a ValueError) for a bad name.
        """

    @abstractmethod
    def list(self, prefix: str = "", *, timeout: float | None = 5.0) -> list[str]:
        """Full names that are served and begin with `prefix` (in this namespace, or absolute), sorted.

        Args:
            prefix: actor name, or a beginning of one.
            timeout: seconds to wait for a first listing.
        """

    @abstractmethod
    def subscribe(self, name: str, on_change: Callable[[], None]) -> Callable[[], None]:
        """Have `on_change()` called when the endpoints of `name` change; returns what ends that.

        It is called in a thread of the registry's and must neither block nor raise.
        """

    @abstractmethod
    def wait_synced(self, name: str, timeout: float | None = None) -> bool:
        """Wait until the cache that `name` is looked up in has its first listing."""

    def close(self) -> None:
        """Give back what the resolver holds. Pools that it made know no new endpoints then. Idempotent."""
        return

    def qualify(self, name: str, *, framework: bool = False) -> str:
        """The full name of `name`."""
        return qualify(name, self.namespace, framework=framework)

    def wait_for(self, name: str, count: int, deadline: Deadline) -> bool:
        """Block until at least `count` endpoints serve `name`; False when the deadline passed before."""
        waiters = Waiters()
        unsubscribe = self.subscribe(name, waiters.wake)
        try:
            return waiters.wait(lambda: len(self.resolve(name).endpoints) >= count, deadline)
        finally:
            unsubscribe()

    @overload
    def lookup(
        self,
        name: str,
        actor_type: type[T],
        *,
        balancer: str | Balancer = ...,
        resolve_timeout: float = ...,
        on_full: OnFull = ...,
        max_retries: int = ...,
        _framework: bool = ...,
    ) -> ActorPool[T]: ...

    @overload
    def lookup(
        self,
        name: str,
        actor_type: None = None,
        *,
        balancer: str | Balancer = ...,
        resolve_timeout: float = ...,
        on_full: OnFull = ...,
        max_retries: int = ...,
        _framework: bool = ...,
    ) -> ActorPool[Any]: ...

    def lookup(
        self,
        name: str,
        actor_type: type[Any] | None = None,
        *,
        balancer: str | Balancer = "round_robin",
        resolve_timeout: float = 30.0,
        on_full: OnFull = "wait",
        max_retries: int = 3,
        _framework: bool = False,
    ) -> ActorPool[Any]:
        """A handle on all actors named `name`, present and future; they need not exist yet.

        Args:
            name: actor name, or an absolute one (``/namespace/name``).
            actor_type: class of the actors, for type checkers and for early errors on unknown methods.
            balancer: ``"round_robin"``, ``"least_pending"``, ``"hash"`` (by ``key=``), or a Balancer.
            resolve_timeout: seconds for which a call waits while nobody serves the name.
            on_full: what a call does while as many are in flight as the server allows: wait, or raise
                `BackpressureError`.
            max_retries: how often an idempotent call is tried again after its server was lost.

        Raises:
            InvalidNameError: (a ValueError) for a bad name.
            ValueError: for an unknown balancer or a bad number.
        """
        from iris_actor.actor.pool import ActorPool

        return ActorPool(
            self,
            name,
            actor_type,
            balancer=balancer,
            resolve_timeout=resolve_timeout,
            on_full=on_full,
            max_retries=max_retries,
            _framework=_framework,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


class RegistryResolver(Resolver):
    """Resolves names in a registry.

    Args:
        registry: URL (``etcd://host:2379``, ``memory://name``) or a Registry. None takes ``IRIS_REGISTRY``.
        namespace: where names that are not absolute live. None takes the job's, and ``"default"``
            outside a job.
        credentials: what the servers of the actors ask for.

    Raises:
        OutsideJobError: without `registry` outside a job.
        InvalidURLError, InvalidNameError: (ValueErrors) for a bad URL or namespace.

    A pickled copy connects to the same registry; it carries the registry's URL and the credentials.
    """

    def __init__(
        self,
        registry: str | Registry | None = None,
        *,
        namespace: str | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        environment = Environment.read()
        self.namespace = environment.namespace(namespace)
        self.credentials = credentials
        source = registry if registry is not None else environment.registry
        if source is None:
            raise OutsideJobError(REGISTRY)
        self._registry = connect_registry(source)
        self._lock = threading.Lock()  # guards the tables
        self._directories: dict[str, Directory] = {}
        self._full_names: dict[str, str] = {}
        self._results: dict[str, ResolveResult] = {}
        self._closed = False
        self._directory(self.namespace)

    def _directory(self, namespace: str) -> Directory:
        directory = self._directories.get(namespace)
        if directory is None:
            with self._lock:
                if self._closed:
                    raise RuntimeError("the resolver is closed")
                directory = self._directories.get(namespace)
                if directory is None:
                    directory = self._directories[namespace] = self._registry.directory(namespace)
        return directory

    def _full(self, name: str) -> str:
        full = self._full_names.get(name)
        if full is None:
            full = self._full_names[name] = self.qualify(name, framework=True)
        return full

    def resolve(self, name: str) -> ResolveResult:
        full = self._full(name)
        directory = self._directory(full.split("/", 1)[0])
        endpoints = directory.endpoints(full)
        known = self._results.get(full)
        if known is not None and known.endpoints is endpoints:
            return known
        result = self._results[full] = ResolveResult(full, endpoints, directory.revision)
        return result

    def list(self, prefix: str = "", *, timeout: float | None = 5.0) -> list[str]:
        full = prefix[1:] if prefix.startswith("/") else f"{self.namespace}/{prefix}"
        directory = self._directory(full.split("/", 1)[0])
        directory.wait_synced(timeout)
        return directory.names(full)

    def subscribe(self, name: str, on_change: Callable[[], None]) -> Callable[[], None]:
        full = self._full(name)

        def changed(names: frozenset[str]) -> None:
            if full in names:
                on_change()

        return self._directory(full.split("/", 1)[0]).subscribe(changed)

    def wait_synced(self, name: str, timeout: float | None = None) -> bool:
        return self._directory(self._full(name).split("/", 1)[0]).wait_synced(timeout)

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            directories = list(self._directories.values())
        for directory in directories:
            directory.close()
        self._registry.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _shared_resolver, (type(self), self._registry.url, self.namespace, self.credentials)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(namespace={self.namespace!r})"


class EtcdResolver(RegistryResolver):
    """Resolves names in an etcd registry; see `RegistryResolver`.

    Args:
        url: ``etcd://host:2379[,host2:2379...][/prefix][?ttl=10]``. None takes ``IRIS_REGISTRY``.

    Raises:
        InvalidURLError: (a ValueError) for another kind of URL.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        if url is not None and not url.startswith("etcd://"):
            raise InvalidURLError(url, "EtcdResolver takes an etcd:// URL")
        super().__init__(url, namespace=namespace, credentials=credentials)


class FixedResolver(Resolver):
    """Resolves names from a fixed table: for servers without a registry, and for tests.

    Args:
        addresses: for each actor name the ``host:port`` of its servers, one or several.
        namespace: as for other resolvers.
        credentials: what the servers ask for.

    Raises:
        ValueError: for an address that is not ``host:port``.
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
                Endpoint(name=full, actor_id=ActorId(""), address=_checked(address)) for address in given
            )

    def resolve(self, name: str) -> ResolveResult:
        result = self._results.get(name)
        if result is None:
            full = self.qualify(name, framework=True)
            result = self._results[name] = ResolveResult(full, self._endpoints.get(full, ()), 0)
        return result

    def list(self, prefix: str = "", *, timeout: float | None = 5.0) -> list[str]:  # noqa: ARG002
        full = prefix[1:] if prefix.startswith("/") else f"{self.namespace}/{prefix}"
        return sorted(name for name in self._endpoints if name.startswith(full))

    def subscribe(self, name: str, on_change: Callable[[], None]) -> Callable[[], None]:  # noqa: ARG002
        return lambda: None

    def wait_synced(self, name: str, timeout: float | None = None) -> bool:  # noqa: ARG002
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        return _fixed_resolver, (self._addresses, self.namespace, self.credentials)

    def __repr__(self) -> str:
        return f"FixedResolver({self._addresses!r}, namespace={self.namespace!r})"


def _checked(address: str) -> str:
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"an address is host:port with a port from 1 to 65535, got {address!r}")
    return address


def _fixed_resolver(
    addresses: Mapping[str, Sequence[str]], namespace: str, credentials: Credentials | None
) -> FixedResolver:
    return FixedResolver(addresses, namespace=namespace, credentials=credentials)


_shared: dict[Any, RegistryResolver] = {}
_shared_lock = threading.Lock()


def _shared_resolver(
    cls: type[RegistryResolver], url: str, namespace: str, credentials: Credentials | None
) -> RegistryResolver:
    """The resolver that handles which arrived in this process share; it lives as long as the process."""
    key = (cls, url, namespace, credentials)
    with _shared_lock:
        resolver = _shared.get(key)
        if resolver is None:
            resolver = _shared[key] = cls(url, namespace=namespace, credentials=credentials)
        return resolver
