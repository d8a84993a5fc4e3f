"""One registry for each URL and process: one lease, one connection, however many servers and resolvers."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Any, Self

from iris_actor.errors import ForkedProcessError, RegistryError
from iris_actor.registry.endpoint import Endpoint
from iris_actor.registry.registry import Directory, Registration, Registry
from iris_actor.registry.url import RegistryURL


class SharedRegistry:
    """One user's hold on a registry; a `Registry`. The last one that is closed closes the registry."""

    def __init__(self, url: RegistryURL) -> None:
        self.url = url.text(password=True)
        self._key = url
        self._pid = os.getpid()
        self._registry = _acquire(url)
        self._registrations: list[Registration] = []
        self._directories: list[Directory] = []
        self._closed = False

    def _checked(self) -> Registry:
        if self._pid != os.getpid():
            raise ForkedProcessError(self._pid)
        if self._closed:
            raise RegistryError(f"registry {self._key} is closed")
        return self._registry

    def register(self, endpoint: Endpoint, timeout: float | None = None) -> Registration:
        """See `Registry.register`."""
        registration = self._checked().register(endpoint, timeout)
        self._registrations.append(registration)
        return registration

    def directory(self, namespace: str) -> Directory:
        """See `Registry.directory`."""
        directory = self._checked().directory(namespace)
        self._directories.append(directory)
        return directory

    def list(self, prefix: str = "", timeout: float | None = None) -> list[Endpoint]:
        """See `Registry.list`."""
        return self._checked().list(prefix, timeout)

    def close(self) -> None:
        """See `Registry.close`: withdraws what was registered through this hold."""
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        last = _release(self._key)
        if last is not None:
            last.close()  # revokes the lease, and with it every registration
        for registration in self._registrations:
            registration.close()
        for directory in self._directories:
            directory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


_open: dict[RegistryURL, tuple[Registry, int]] = {}
_lock = threading.Lock()


def _acquire(url: RegistryURL) -> Registry:
    with _lock:
        registry, users = _open.get(url, (None, 0))
        if registry is None:
            registry = _make(url)
        _open[url] = (registry, users + 1)
        return registry


def _release(url: RegistryURL) -> Registry | None:
    with _lock:
        registry, users = _open.get(url, (None, 0))
        if registry is None:
            return None
        if users > 1:
            _open[url] = (registry, users - 1)
            return None
        del _open[url]
        return registry


def _make(url: RegistryURL) -> Registry:
    if url.scheme == "memory":
        from iris_actor.registry.memory import MemoryRegistry

        return MemoryRegistry(url)
    from iris_actor.registry.etcd import EtcdRegistry

    return EtcdRegistry(url)


def connect_registry(url: str | Registry, **options: Any) -> Registry:
    """A hold on the registry at `url`; close it when done. Nothing is sent before it is used.

    Args:
        url: ``etcd://[user:password@]host:2379[,host2:2379...][/prefix][?ttl=10&ca=&cert=&key=]`` or
            ``memory://name`` (inside one process). A Registry is returned as it is.
        options: ``user``, ``password``, ``ttl`` (seconds), ``ca``, ``cert``, ``key`` (files), instead of
            in the URL.

    Raises:
        InvalidURLError: (a ValueError) saying what is wrong.
    """
    if not isinstance(url, str):
        return url
    return SharedRegistry(RegistryURL.parse(url, **options))


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    _open.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
