"""Resolver: from an actor name to the endpoints that serve it.

A resolver answers from a cache that a watch keeps current: `resolve` makes no round trip.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from iris_actor.actor.absence import absence_text
from iris_actor.actor.balancer import Balancer
from iris_actor.actor.pool import ActorPool, OnFull
from iris_actor.actor.resolve_result import ResolveResult
from iris_actor.deadline import Deadline
from iris_actor.errors import RegistryError
from iris_actor.naming import qualify
from iris_actor.rpc.credentials import Credentials
from iris_actor.rpc.waiters import Waiters

T = TypeVar("T")


class Resolver(ABC):
    """Finds endpoints by actor name. Thread-safe, a context manager.

    An empty answer means that nobody is there. While nobody knows yet, because the first listing has not
    come, those who may wait do (`resolve`, `list`, `wait_for`), and those who must not are told so (`known`).

    A subclass that overrides `resolve` decides about calls as well: they go where it says.
    """

    namespace: str
    credentials: Credentials | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "resolve" in cls.__dict__ and "known" not in cls.__dict__:
            cls.known = Resolver.known  # type: ignore[method-assign] # an inherited one would pass it by

    @abstractmethod
    def resolve(self, name: str) -> ResolveResult:
        """The endpoints of `name`, without a round trip; before the first listing it waits for that.

        It blocks then, for a moment as a rule: in a coroutine, call it by `asyncio.to_thread`.

        Raises:
            InvalidNameError: (a ValueError) for a bad name.
            RegistryUnavailableError: there was no listing yet, and none came within the resolver's
                `resolve_timeout`.
            RegistryError: the registry refuses, or is closed.
        """

    def known(self, name: str) -> ResolveResult | None:
        """The endpoints of `name` as they are known now; None while nobody knows yet. Never blocks.

        Raises:
            InvalidNameError: (a ValueError) for a bad name.
        """
        return self.resolve(name) if self.wait_synced(name, 0) else None

    def trouble(self, name: str) -> RegistryError | None:  # noqa: ARG002
        """Why nobody knows yet who serves `name`, or why what is known may be behind. Never blocks.

        None when all is well. A RegistryUnavailableError says since when the registry does not answer.
        """
        return None

    def explain(self, name: str, *, timeout: float | None = 5.0) -> str:
        """What there is instead of `name`, for people: near names, and namespaces that have it.

        Args:
            name: which nobody serves.
            timeout: seconds that finding out may take.

        Raises:
            InvalidNameError: (a ValueError) for a bad name.
            RegistryUnavailableError: the registry did not answer in time.
        """
        return absence_text(self.qualify(name, framework=True), self.list("/", timeout=timeout))

    @abstractmethod
    def list(self, prefix: str = "", *, timeout: float | None = 5.0) -> list[str]:
        """Full names that are served and begin with `prefix` (in this namespace, or absolute), sorted.

        Args:
            prefix: actor name, or a beginning of one; ``"/"`` for all names of all namespaces.
            timeout: seconds to wait for a first listing; None for no limit.

        Raises:
            RegistryUnavailableError: there was no listing yet, and none came in time.
            RegistryError: the registry refuses, or is closed.
        """

    @abstractmethod
    def subscribe(self, name: str, on_change: Callable[[], None]) -> Callable[[], None]:
        """Have `on_change()` called when the endpoints of `name` change; returns what ends that.

        It is called in a thread of the registry's and must neither block nor raise.
        """

    @abstractmethod
    def wait_synced(self, name: str, timeout: float | None = None) -> bool:
        """Wait until the cache that `name` is looked up in has its first listing.

        False when `timeout` seconds passed without one, or the resolver was closed before.
        """

    def close(self) -> None:
        """Give back what the resolver holds. Pools that it made know no new endpoints then. Idempotent."""
        return

    def qualify(self, name: str, *, framework: bool = False) -> str:
        """The full name of `name`."""
        return qualify(name, self.namespace, framework=framework)

    def wait_for(self, name: str, count: int, deadline: Deadline) -> bool:
        """Block until at least `count` endpoints serve `name`; False when the deadline passed before.

        There must be a listing, also for a `count` of 0.
        """
        if not self.wait_synced(name, deadline.timeout):
            return False
        waiters = Waiters()

        def enough() -> bool:
            found = self.known(name)
            return found is not None and len(found.endpoints) >= count

        unsubscribe = self.subscribe(name, waiters.wake)
        try:
            return waiters.wait(enough, deadline)
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
            resolve_timeout: seconds for which a call waits while nobody serves the name, and `endpoints`,
                `size` and `broadcast` for the registry's first listing.
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
