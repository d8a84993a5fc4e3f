"""Resolver: from an actor name to the endpoints that serve it.

A resolver answers from a cache that a watch keeps current: `resolve` makes no round trip.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from iris_actor.actor.balancer import Balancer
from iris_actor.actor.pool import ActorPool, OnFull
from iris_actor.actor.resolve_result import ResolveResult
from iris_actor.deadline import Deadline
from iris_actor.naming import qualify
from iris_actor.rpc.credentials import Credentials
from iris_actor.rpc.waiters import Waiters

T = TypeVar("T")


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
