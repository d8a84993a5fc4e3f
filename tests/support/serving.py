"""An actor server in this process, with a handle on its actor that needs no registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from iris_actor import ActorPool, ActorServer, Credentials, FixedResolver, Limits
from tests.support.lab import Lab

NAME = "actor"


@dataclass
class Hosted:
    """One hosted actor: its server, its address, and a pool that calls it."""

    server: ActorServer
    address: str
    pool: ActorPool[Any]

    def again(self, **lookup: Any) -> ActorPool[Any]:
        """Another pool for the same actor."""
        return lookup_at(self.address, **lookup)


def lookup_at(
    *addresses: str, name: str = NAME, credentials: Credentials | None = None, **lookup: Any
) -> ActorPool[Any]:
    """A pool for the actor `name` on the servers at `addresses`."""
    lookup.setdefault("resolve_timeout", 10.0)
    resolver = FixedResolver({name: list(addresses)}, namespace="test", credentials=credentials)
    return resolver.lookup(name, **lookup)


def call_echo(address: str, value: Any) -> Any:
    """What the actor at `address` echoes; for processes that are given a function."""
    return lookup_at(address).call(timeout=20).echo(value)


@contextmanager
def hosting(
    actor: Any,
    *,
    limits: Limits | None = None,
    credentials: Credentials | None = None,
    drain: bool = False,
    lookup: dict[str, Any] | None = None,
    **register: Any,
) -> Iterator[Hosted]:
    """Serve `actor` on a free port; with `drain`, leaving waits for accepted calls."""
    server = ActorServer(namespace="test", limits=limits, credentials=credentials)
    try:
        server.register(NAME, actor, **register)
        server.serve_background()
        pool = lookup_at(server.address, credentials=credentials, **lookup or {})
        yield Hosted(server, server.address, pool)
        if drain:
            server.drain(10)
    finally:
        if isinstance(actor, Lab):
            actor.release_all()
        server.stop()
