"""The contract between those who announce and look up endpoints and the store that keeps them."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Protocol, Self

from iris_actor.errors import RegistryError
from iris_actor.registry.endpoint import Endpoint


class RegistrationState(Enum):
    """Whether others can find a registration now."""

    STANDS = "stands"
    LOST = "lost"
    """Its lease was lost, or the registry is silent; it is put back as soon as that is possible."""
    CLOSED = "closed"


class Registration(Protocol):
    """One endpoint that a registry announces until it is closed. Thread-safe."""

    @property
    def endpoint(self) -> Endpoint:
        """What is announced."""

    @property
    def state(self) -> RegistrationState:
        """Whether it stands now."""

    def close(self, timeout: float | None = None) -> None:
        """Withdraw the announcement, if it is still this one's own. Idempotent.

        With the registry away it gives up after `timeout` seconds (a short default) without an error:
        the lease then ends it.
        """


class Directory(Protocol):
    """The endpoints below one namespace, kept current by a watch. Thread-safe.

    `endpoints` reads a local cache: no round trip, and no lock that is held during I/O.
    While the registry is silent the last state stays, and `stale` is True.
    """

    @property
    def revision(self) -> int:
        """Registry revision that the cache is at; it only grows."""

    @property
    def stale(self) -> bool:
        """Whether the watch is broken at the moment, so that the cache may be behind."""

    @property
    def listed(self) -> bool:
        """Whether there was a complete listing yet: before, nothing is known."""

    @property
    def trouble(self) -> RegistryError | None:
        """Why the cache may be behind, or is not filled yet; None when all is well.

        A RegistryUnavailableError says since when the registry does not answer.
        """

    def endpoints(self, name: str) -> tuple[Endpoint, ...]:
        """Endpoints of the full name `name`, in order of registration; the same tuple until it changes."""

    def names(self, prefix: str = "") -> list[str]:
        """Full names that have endpoints and begin with `prefix`, sorted."""

    def wait_synced(self, timeout: float | None = None) -> bool:
        """Wait for the first complete listing.

        False when `timeout` seconds passed without one, or the registry was closed before.
        """

    def announces(self, address: str) -> bool:
        """Whether there is an endpoint at `address`."""

    def subscribe(
        self,
        on_change: Callable[[frozenset[str]], None],
        on_absence: Callable[[frozenset[str]], None] = ...,
    ) -> Callable[[], None]:
        """Have `on_change(names)` called after each change with the full names that changed.

        `on_absence(addresses)` is called after it if there are addresses at which nothing is announced any
        more. Both are called in the registry's own thread and must neither block nor raise. Returns what ends
        the subscription.
        """

    def close(self) -> None:
        """Give this handle back; the watch ends with its last handle. Idempotent."""


class Registry(Protocol):
    """A store of endpoints. Thread-safe, a context manager."""

    @property
    def url(self) -> str:
        """What `connect_registry` would take to reach the same store, password included."""

    def register(self, endpoint: Endpoint, timeout: float | None = None) -> Registration:
        """Announce `endpoint`; returns once others can see it.

        Raises:
            InvalidNameError: (a ValueError) the name or actor id breaks the naming rule.
            RegistryUnavailableError: the store did not answer within `timeout` seconds (a short default).
                The endpoint is then not announced, nor will it be.
            RegistryError: the store refused, or the actor id is taken.
        """

    def directory(self, namespace: str) -> Directory:
        """A handle on the watched cache of one namespace; handles of one namespace share a watch.

        Returns at once; the first listing arrives in the background (`Directory.wait_synced`).
        """

    def names(self, prefix: str = "", timeout: float | None = None) -> list[str]:
        """Full names that have endpoints and begin with `prefix`, sorted, asked of the store itself.

        Over all namespaces with an empty `prefix`; that reads every key, and none of the values.
        """

    def list(self, prefix: str = "", timeout: float | None = None) -> list[Endpoint]:
        """All endpoints whose full name begins with `prefix`, asked of the store itself."""

    def close(self) -> None:
        """Withdraw every registration made here, and end the directories. Idempotent, and prompt.

        Handles that `connect_registry` gives share one store; the last of them revokes the lease.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None: ...
