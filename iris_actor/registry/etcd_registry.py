"""EtcdRegistry: endpoints kept in etcd.

::

    register ──▶ LeasedKey ──┐               ┌──▶ WatchedDirectory ──▶ directory
                             ├▶ EtcdStore ───┤    (one a namespace)
    list, names ─────────────┘               └──▶ etcd
"""

from __future__ import annotations

import threading
from functools import partial
from types import TracebackType
from typing import Self

from iris_actor.errors import RegistryError
from iris_actor.etcd.errors import KeyTakenError
from iris_actor.etcd.key_range import KeyRange
from iris_actor.etcd.leased.key import LeasedKey
from iris_actor.etcd.store import EtcdStore
from iris_actor.naming import check_namespace
from iris_actor.registry.directory.handle import DirectoryHandle
from iris_actor.registry.directory.watched import WatchedDirectory
from iris_actor.registry.endpoint import Endpoint
from iris_actor.registry.endpoint_keys import EndpointKeys, check_endpoint, encode
from iris_actor.registry.etcd_registration import EtcdRegistration
from iris_actor.registry.url import RegistryURL
from iris_actor.threads.fork_guard import ForkGuard


class EtcdRegistry:
    """A `Registry` in etcd, thread-safe. Take it from `connect_registry`: a process needs but one lease.

    Args:
        url: an etcd URL.

    Attributes:
        store: the etcd: for keys of other kinds on the same lease, and other watches.

    Raises:
        InvalidURLError: (a ValueError) when a file that it names cannot be read.
    """

    def __init__(self, url: RegistryURL) -> None:
        self._url = url
        self._keys = EndpointKeys(url.prefix)
        self.store = EtcdStore(url)
        self._guard = ForkGuard()
        self._lock = threading.Lock()  # guards what follows
        # Kept until they are closed, also where the user does not: a handle knows them by weak references.
        self._registrations: set[EtcdRegistration] = set()
        self._directories: dict[str, tuple[WatchedDirectory, int]] = {}
        self._closed = False

    @property
    def url(self) -> str:
        """The URL, password included."""
        return self._url.text

    def register(self, endpoint: Endpoint, timeout: float | None = None) -> EtcdRegistration:
        """Announce `endpoint`; returns once others can see it.

        Args:
            endpoint: what to announce.
            timeout: seconds to wait for etcd; 5 when None.

        Raises:
            InvalidNameError: (a ValueError) the name or actor id breaks the naming rule.
            RegistryUnavailableError: etcd did not answer in time. The endpoint is then not announced.
            RegistryError: etcd refused, or the registry is closed.
            ForkedProcessError: in a process forked from the one that made this.
        """
        check_endpoint(endpoint)
        leased = LeasedKey(self._keys.key(endpoint), encode(endpoint), name=endpoint.name)
        try:
            self.store.put(leased, timeout)
        except KeyTakenError as error:
            raise RegistryError(str(error)) from None
        registration = EtcdRegistration(endpoint, leased, self._withdraw)
        with self._lock:
            self._registrations.add(registration)
        return registration

    def _withdraw(self, registration: EtcdRegistration, timeout: float | None) -> None:
        if self._guard.forked:  # and its parent may have held the lock
            return
        with self._lock:
            self._registrations.discard(registration)
        self.store.remove(registration.leased, timeout)

    def directory(self, namespace: str) -> DirectoryHandle:
        """A handle on the watched cache of `namespace`; returns at once, the listing arrives later.

        Raises:
            InvalidNameError: (a ValueError) for a bad namespace.
            RegistryError: the registry is closed.
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._guard.check()
        check_namespace(namespace)
        with self._lock:
            if self._closed:
                raise RegistryError(f"registry {self._url} is closed")
            directory, users = self._directories.get(namespace, (None, 0))
            if directory is None:
                directory = WatchedDirectory(self.store, namespace, self._keys)
            self._directories[namespace] = (directory, users + 1)
        return DirectoryHandle(
            directory.cache, partial(self._release, namespace, directory), lambda: directory.trouble
        )

    def _release(self, namespace: str, directory: WatchedDirectory) -> None:
        with self._lock:
            current, users = self._directories.get(namespace, (None, 0))
            if current is not directory:
                return
            if users > 1:
                self._directories[namespace] = (directory, users - 1)
                return
            del self._directories[namespace]
        directory.close()

    def names(self, prefix: str = "", timeout: float | None = None) -> list[str]:
        """Full names that begin with `prefix`, sorted, asked of etcd itself; without what is stored there.

        Args:
            prefix: begin of full names; all when empty.
            timeout: seconds to wait for etcd; 5 when None.

        Raises:
            RegistryUnavailableError: etcd did not answer in time.
            RegistryError: etcd refused, or the registry is closed.
            ForkedProcessError: in a process forked from the one that made this.
        """
        found = self.store.read(KeyRange.prefix(self._keys.below(prefix)), timeout, keys_only=True)
        places = (self._keys.split(kv.key) for kv in found)
        return sorted({place[0] for place in places if place is not None})

    def list(self, prefix: str = "", timeout: float | None = None) -> list[Endpoint]:
        """All endpoints whose full name begins with `prefix`, in order of registration, asked of etcd itself.

        Args:
            prefix: begin of full names; all when empty.
            timeout: seconds to wait for etcd; 5 when None.

        Raises:
            RegistryUnavailableError: etcd did not answer in time.
            RegistryError: etcd refused, or the registry is closed.
            ForkedProcessError: in a process forked from the one that made this.
        """
        found = self.store.read(KeyRange.prefix(self._keys.below(prefix)), timeout)
        endpoints = (self._keys.decode(kv.key, kv.value) for kv in found)
        return [endpoint for endpoint in endpoints if endpoint is not None]

    def close(self) -> None:
        """Withdraw all, revoke the lease, end the watches: in less than a second. Idempotent."""
        if self._guard.forked:  # and its parent may have held the lock
            return
        with self._lock:
            self._closed = True
            directories = [directory for directory, _ in self._directories.values()]
            self._directories.clear()
            self._registrations.clear()
        self.store.close()
        for directory in directories:
            directory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EtcdRegistry({str(self._url)!r})"
