"""EndpointSource: what a pool asks of a resolver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from iris_actor.actor.resolve_result import ResolveResult
from iris_actor.deadline import Deadline
from iris_actor.rpc.credentials import Credentials


class EndpointSource(Protocol):
    """Finds endpoints by actor name; see `Resolver`, which is one. Thread-safe."""

    @property
    def credentials(self) -> Credentials | None:
        """What the servers of the endpoints ask for."""

    def qualify(self, name: str, *, framework: bool = False) -> str:
        """The full name of `name`."""

    def resolve(self, name: str) -> ResolveResult:
        """The endpoints of `name` as they are known now, without a round trip."""

    def subscribe(self, name: str, on_change: Callable[[], None]) -> Callable[[], None]:
        """Have `on_change()` called when the endpoints of `name` change; returns what ends that."""

    def wait_for(self, name: str, count: int, deadline: Deadline) -> bool:
        """Block until at least `count` endpoints serve `name`; False when the deadline passed before."""
