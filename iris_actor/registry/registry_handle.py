"""RegistryHandle: one user's hold on a registry that others may hold too."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from iris_actor.errors import RegistryError
from iris_actor.etcd.url import without_password
from iris_actor.registry.endpoint import Endpoint
from iris_actor.registry.registry import Directory, Registration, Registry
from iris_actor.threads.fork_guard import ForkGuard

if TYPE_CHECKING:
    from iris_actor.etcd.store import EtcdStore


class RegistryHandle:
    """A `Registry`: one user's hold on a shared one. Thread-safe.

    Closing it withdraws what was registered through it, and closes the directories that it gave.

    Args:
        registry: the shared one.
        share: makes another handle on it.
        release: gives the hold back, and tells whether it was the last; called once.
    """

    def __init__(
        self, registry: Registry, share: Callable[[], RegistryHandle], release: Callable[[], bool]
    ) -> None:
        self._registry = registry
        self._share = share
        self._release = release
        self._guard = ForkGuard()
        self._lock = threading.Lock()  # guards what follows
        # What the user has let go of without closing it is the shared registry's to end.
        self._given: weakref.WeakSet[Registration | Directory] = weakref.WeakSet()
        self._closed = False

    @property
    def url(self) -> str:
        """What `connect_registry` would take to reach the same store, password included."""
        return self._registry.url

    @property
    def store(self) -> EtcdStore | None:
        """The etcd beneath, for keys of other kinds on the same lease; None for a registry in memory.

        It ends with the last handle.

        Raises:
            RegistryError: this handle is closed.
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._check()
        store: EtcdStore | None = getattr(self._registry, "store", None)
        return store

    def share(self) -> RegistryHandle:
        """Another handle on the same registry, to be closed on its own.

        Raises:
            RegistryError: this handle is closed.
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._check()
        return self._share()

    def register(self, endpoint: Endpoint, timeout: float | None = None) -> Registration:
        """Announce `endpoint`; returns once others can see it.

        Args:
            endpoint: what to announce.
            timeout: seconds to wait for the store; 5 when None.

        Raises:
            InvalidNameError: (a ValueError) the name or actor id breaks the naming rule.
            RegistryUnavailableError: the store did not answer in time. The endpoint is then not announced.
            RegistryError: the store refused, the actor id is taken, or this handle is closed.
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._check()
        registration = self._registry.register(endpoint, timeout)
        self._keep(registration)
        return registration

    def directory(self, namespace: str) -> Directory:
        """A handle on the watched cache of `namespace`; returns at once, the listing may arrive later.

        Raises:
            InvalidNameError: (a ValueError) for a bad namespace.
            RegistryError: this handle is closed.
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._check()
        directory = self._registry.directory(namespace)
        self._keep(directory)
        return directory

    def _keep(self, given: Registration | Directory) -> None:
        with self._lock:
            if not self._closed:
                self._given.add(given)
                return
        given.close()
        raise self._closed_error()

    def names(self, prefix: str = "", timeout: float | None = None) -> list[str]:
        """Full names that have endpoints and begin with `prefix`, sorted, asked of the store.

        Args:
            prefix: begin of full names; all when empty.
            timeout: seconds to wait for the store; 5 when None.

        Raises:
            RegistryUnavailableError: the store did not answer in time.
            RegistryError: the store refused, or this handle is closed.
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._check()
        return self._registry.names(prefix, timeout)

    def list(self, prefix: str = "", timeout: float | None = None) -> list[Endpoint]:
        """All endpoints whose full name begins with `prefix`, in order of registration, asked of the store.

        Args:
            prefix: begin of full names; all when empty.
            timeout: seconds to wait for the store; 5 when None.

        Raises:
            RegistryUnavailableError: the store did not answer in time.
            RegistryError: the store refused, or this handle is closed.
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._check()
        return self._registry.list(prefix, timeout)

    def _check(self) -> None:
        self._guard.check()
        if self._closed:
            raise self._closed_error()

    def _closed_error(self) -> RegistryError:
        return RegistryError(f"registry {without_password(self.url)} is closed")

    def close(self) -> None:
        """Withdraw what was registered here; the last handle also revokes the lease. Idempotent."""
        if self._guard.forked:  # and its parent may have held the lock
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            given = list(self._given)
            self._given.clear()
        # The last one closes the shared registry: one revoked lease instead of many withdrawals.
        if not self._release():
            for each in given:
                each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<registry {without_password(self.url)}{' (closed)' if self._closed else ''}>"
