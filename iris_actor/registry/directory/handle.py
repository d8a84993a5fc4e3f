"""DirectoryHandle: one user's hold on a DirectoryCache."""

from __future__ import annotations

import threading
from collections.abc import Callable

from iris_actor.deadline import check_timeout
from iris_actor.errors import RegistryError
from iris_actor.registry.directory.cache import DirectoryCache, OnAbsence, OnChange
from iris_actor.registry.endpoint import Endpoint
from iris_actor.threads.fork_guard import ForkGuard


class DirectoryHandle:
    """A `Directory`. After `close` it goes on answering what was last known.

    Args:
        cache: what it reads.
        release: called once, by the first `close`.
        trouble: tells why the cache may be behind, or is not filled yet.
    """

    def __init__(
        self,
        cache: DirectoryCache,
        release: Callable[[], None],
        trouble: Callable[[], RegistryError | None] = lambda: None,
    ) -> None:
        self._cache = cache
        self._release = release
        self._trouble = trouble
        self._guard = ForkGuard()
        self._lock = threading.Lock()  # guards what follows
        self._unsubscribes: dict[object, Callable[[], None]] = {}
        self._closed = False

    @property
    def revision(self) -> int:
        """Registry revision that the cache is at; it only grows.

        Raises:
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._guard.check()
        return self._cache.revision

    @property
    def stale(self) -> bool:
        """Whether the cache may be behind: the watch is broken at the moment, or this handle is closed."""
        return self._closed or self._cache.stale

    @property
    def listed(self) -> bool:
        """Whether there was a complete listing yet."""
        return self._cache.listed

    @property
    def trouble(self) -> RegistryError | None:
        """Why the cache may be behind, or is not filled yet; None when all is well."""
        return self._trouble()

    def endpoints(self, name: str) -> tuple[Endpoint, ...]:
        """Endpoints of the full name `name`, in order of registration; the same tuple until it changes.

        Raises:
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._guard.check()
        return self._cache.endpoints(name)

    def names(self, prefix: str = "") -> list[str]:
        """Full names that have endpoints and begin with `prefix`, sorted.

        Raises:
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._guard.check()
        return self._cache.names(prefix)

    def wait_synced(self, timeout: float | None = None) -> bool:
        """Wait for the first complete listing.

        Returns:
            False when `timeout` seconds passed without one, or the registry was closed before.

        Raises:
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._guard.check()
        return self._cache.wait_synced(check_timeout(timeout))

    def announces(self, address: str) -> bool:
        """Whether there is an endpoint at `address`."""
        return self._cache.announces(address)

    def subscribe(self, on_change: OnChange, on_absence: OnAbsence = lambda _: None) -> Callable[[], None]:
        """Have `on_change(names)` called after each change; returns what ends that.

        Args:
            on_change: gets the full names that changed. It runs in the registry's thread, and must neither
                block nor raise.
            on_absence: likewise; gets the addresses at which nothing is announced any more, if there are any.

        Raises:
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._guard.check()
        token = object()
        with self._lock:
            if self._closed:
                return lambda: None
            unsubscribe = self._cache.subscribe(on_change, on_absence)
            self._unsubscribes[token] = unsubscribe

        def end() -> None:
            if self._guard.forked:
                return
            with self._lock:
                self._unsubscribes.pop(token, None)
            unsubscribe()

        return end

    def close(self) -> None:
        """Give this handle back, and end its subscriptions. Idempotent."""
        if self._guard.forked:  # and its parent may have held the lock
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            unsubscribes = list(self._unsubscribes.values())
            self._unsubscribes.clear()
        for unsubscribe in unsubscribes:
            unsubscribe()
        self._release()
