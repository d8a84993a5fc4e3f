"""MemoryRegistry: endpoints kept in this process, for tests and for programs of one process.

::

    register / close ──▶ cache of the namespace (at once)
                               └─ names that changed ──▶ queue ──▶ one thread ──▶ subscribers
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from iris_actor.deadline import check_timeout
from iris_actor.errors import RegistryError
from iris_actor.naming import check_namespace
from iris_actor.registry.directory.cache import Change, DirectoryCache
from iris_actor.registry.directory.handle import DirectoryHandle
from iris_actor.registry.endpoint import Endpoint
from iris_actor.registry.endpoint_keys import check_endpoint
from iris_actor.registry.registry import RegistrationState
from iris_actor.registry.url import RegistryURL
from iris_actor.threads.fork_guard import ForkGuard
from iris_actor.unpatched import SimpleQueue


class MemoryRegistration:
    """A `Registration` in a MemoryRegistry: it stands until it is closed."""

    def __init__(self, endpoint: Endpoint, withdraw: Callable[[MemoryRegistration], None]) -> None:
        self._endpoint = endpoint
        self._withdraw = withdraw
        self.shown = RegistrationState.STANDS

    @property
    def endpoint(self) -> Endpoint:
        """What is announced."""
        return self._endpoint

    @property
    def state(self) -> RegistrationState:
        """Whether it stands now."""
        return self.shown

    def close(self, timeout: float | None = None) -> None:
        """Withdraw the announcement. Idempotent; never waits."""
        check_timeout(timeout)
        self._withdraw(self)

    def __repr__(self) -> str:
        return f"<registration of {self._endpoint.name} {self._endpoint.actor_id}: {self.shown.value}>"


class MemoryRegistry:
    """A `Registry` in memory, thread-safe. `connect_registry` shares one by name.

    Args:
        url: a memory URL.
    """

    def __init__(self, url: RegistryURL) -> None:
        self._url = url
        self._guard = ForkGuard()
        self._lock = threading.Lock()  # guards what follows, and orders the changes of the caches
        self._registrations: dict[str, MemoryRegistration] = {}
        self._caches: dict[str, DirectoryCache] = {}
        self._revision = 0
        self._closed = False
        self._changes: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The URL."""
        return self._url.text

    def register(self, endpoint: Endpoint, timeout: float | None = None) -> MemoryRegistration:
        """Announce `endpoint`. It never waits.

        Raises:
            InvalidNameError: (a ValueError) the name or actor id breaks the naming rule.
            RegistryError: the actor id is taken, or the registry is closed.
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._guard.check()
        check_timeout(timeout)
        check_endpoint(endpoint)
        registration = MemoryRegistration(endpoint, self._withdraw)
        key = _key(endpoint)
        with self._lock:
            self._check_open()
            if key in self._registrations:
                raise RegistryError(f"registry {self._url}: actor id {endpoint.actor_id} is taken")
            self._registrations[key] = registration
            self._change(endpoint, (endpoint.name, endpoint.actor_id, endpoint))
        return registration

    def _withdraw(self, registration: MemoryRegistration) -> None:
        if self._guard.forked:
            return
        endpoint = registration.endpoint
        with self._lock:
            if registration.shown is RegistrationState.CLOSED:
                return
            registration.shown = RegistrationState.CLOSED
            del self._registrations[_key(endpoint)]
            self._change(endpoint, (endpoint.name, endpoint.actor_id, None))

    def _change(self, endpoint: Endpoint, change: Change) -> None:
        self._revision += 1
        cache = self._cache(endpoint.namespace)
        changed = cache.apply([change], self._revision)
        if self._thread is not None:
            self._changes.put(partial(cache.tell, changed))

    def _cache(self, namespace: str) -> DirectoryCache:
        cache = self._caches.get(namespace)
        if cache is None:
            cache = self._caches[namespace] = DirectoryCache(stale=False)
        return cache

    def directory(self, namespace: str) -> DirectoryHandle:
        """A handle on the endpoints of `namespace`; it is current at once.

        Raises:
            InvalidNameError: (a ValueError) for a bad namespace.
            RegistryError: the registry is closed.
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._guard.check()
        check_namespace(namespace)
        with self._lock:
            self._check_open()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="iris-memory-registry", daemon=True)
                self._thread.start()
            return DirectoryHandle(self._cache(namespace), lambda: None)

    def names(self, prefix: str = "", timeout: float | None = None) -> list[str]:
        """Full names that have endpoints and begin with `prefix`, sorted.

        Raises:
            RegistryError: the registry is closed.
            ForkedProcessError: in a process forked from the one that made this.
        """
        return sorted({endpoint.name for endpoint in self.list(prefix, timeout)})

    def list(self, prefix: str = "", timeout: float | None = None) -> list[Endpoint]:
        """All endpoints whose full name begins with `prefix`, in order of registration.

        Raises:
            RegistryError: the registry is closed.
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._guard.check()
        check_timeout(timeout)
        with self._lock:
            self._check_open()
            endpoints = [registration.endpoint for registration in self._registrations.values()]
        return [endpoint for endpoint in endpoints if endpoint.name.startswith(prefix)]

    def _check_open(self) -> None:
        if self._closed:
            raise RegistryError(f"registry {self._url} is closed")

    def _run(self) -> None:
        while (tell := self._changes.get()) is not None:
            tell()

    def close(self) -> None:
        """Withdraw every registration, end the directories. Idempotent."""
        if self._guard.forked:
            return
        with self._lock:
            registrations = list(self._registrations.values())
        for registration in registrations:
            registration.close()
        with self._lock:
            self._closed = True
            for cache in self._caches.values():
                cache.end()
            thread, self._thread = self._thread, None
        if thread is not None:
            self._changes.put(None)
            # A subscriber may close what calls it.
            if thread is not threading.current_thread():
                thread.join(1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"MemoryRegistry({str(self._url)!r})"


def _key(endpoint: Endpoint) -> str:
    return f"{endpoint.name}/{endpoint.actor_id}"
