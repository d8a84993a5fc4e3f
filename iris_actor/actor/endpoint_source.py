"""EndpointSource: what a pool asks of a resolver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from iris_actor.actor.resolve_result import ResolveResult
from iris_actor.deadline import Deadline
from iris_actor.errors import RegistryError
from iris_actor.rpc.credentials import Credentials


class EndpointSource(Protocol):
    """Finds endpoints by actor name; see `Resolver`, which is one. Thread-safe."""

    @property
    def credentials(self) -> Credentials | None:
        """What the servers of the endpoints ask for."""

    def qualify(self, name: str, *, framework: bool = False) -> str:
        """The full name of `name`."""

    def known(self, name: str) -> ResolveResult | None:
        """The endpoints of `name` as they are known now; None while nobody knows yet. Never blocks."""

    def wait_synced(self, name: str, timeout: float | None = None) -> bool:
        """Wait until there is a first listing of what `name` is looked up in."""

    def trouble(self, name: str) -> RegistryError | None:
        """Why `known` has nothing, or may be behind; None when all is well. Never blocks."""

    def explain(self, name: str, *, timeout: float | None = 5.0) -> str:
        """What there is instead of `name`, for people; may take up to `timeout` seconds."""

    def subscribe(self, name: str, on_change: Callable[[], None]) -> Callable[[], None]:
        """Have `on_change()` called when the endpoints of `name` change; returns what ends that."""

    def wait_for(self, name: str, count: int, deadline: Deadline) -> bool:
        """Block until at least `count` endpoints serve `name`; False when the deadline passed before."""
