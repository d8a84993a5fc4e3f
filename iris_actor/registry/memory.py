"""MemoryRegistry: a registry inside one process, for tests and programs of one process."""

from __future__ import annotations

import itertools
import threading
from types import TracebackType
from typing import Self

from iris_actor.errors import RegistryError
from iris_actor.registry.directory import DirectoryCache, DirectoryHandle
from iris_actor.registry.endpoint import Endpoint
from iris_actor.registry.registry import RegistrationState
from iris_actor.registry.url import RegistryURL


class _Store:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.revision = itertools.count(1)
        self.now = 0
        self.endpoints: dict[str, tuple[int, Endpoint]] = {}
        self.caches: dict[str, DirectoryCache] = {}

    def put(self, endpoint: Endpoint) -> None:
        with self.lock:
            self.now = next(self.revision)
            entry = (self.now, endpoint)
            self.endpoints[_key(endpoint)] = entry
            cache = self.caches.get(endpoint.namespace)
            if cache is not None:
                cache.apply([(_key(endpoint), entry)], [], self.now)

    def remove(self, endpoint: Endpoint) -> None:
        with self.lock:
            if self.endpoints.pop(_key(endpoint), None) is None:
                return
            self.now = next(self.revision)
            cache = self.caches.get(endpoint.namespace)
            if cache is not None:
                cache.apply([], [(_key(endpoint), endpoint.name)], self.now)

    def cache(self, namespace: str) -> DirectoryCache:
        with self.lock:
            cache = self.caches.get(namespace)
            if cache is None:
                cache = self.caches[namespace] = DirectoryCache()
                below = [item for item in self.endpoints.items() if item[1][1].namespace == namespace]
                cache.replace(below, self.now)
            return cache


_stores: dict[str, _Store] = {}
_lock = threading.Lock()


def _key(endpoint: Endpoint) -> str:
    return f"{endpoint.name}/{endpoint.actor_id}"


class _MemoryRegistration:
    def __init__(self, store: _Store, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.state = RegistrationState.STANDS
        self._store = store

    def close(self, timeout: float | None = None) -> None:  # noqa: ARG002
        if self.state is not RegistrationState.CLOSED:
            self.state = RegistrationState.CLOSED
            self._store.remove(self.endpoint)


class MemoryRegistry:
    """A `Registry` in this process. Those of one name share their content."""

    def __init__(self, url: RegistryURL) -> None:
        self.url = url.text(password=True)
        with _lock:
            self._store = _stores.setdefault(url.name, _Store())
        self._registrations: list[_MemoryRegistration] = []
        self._closed = False

    def register(self, endpoint: Endpoint, timeout: float | None = None) -> _MemoryRegistration:  # noqa: ARG002
        """See `Registry.register`."""
        if self._closed:
            raise RegistryError("the registry is closed")
        self._store.put(endpoint)
        registration = _MemoryRegistration(self._store, endpoint)
        self._registrations.append(registration)
        return registration

    def directory(self, namespace: str) -> DirectoryHandle:
        """See `Registry.directory`."""
        return DirectoryHandle(self._store.cache(namespace), lambda: None)

    def list(self, prefix: str = "", timeout: float | None = None) -> list[Endpoint]:  # noqa: ARG002
        """See `Registry.list`."""
        with self._store.lock:
            entries = sorted(self._store.endpoints.values(), key=lambda entry: entry[0])
        return [endpoint for _, endpoint in entries if endpoint.name.startswith(prefix)]

    def close(self) -> None:
        """See `Registry.close`."""
        self._closed = True
        for registration in self._registrations:
            registration.close()
        self._registrations.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()
