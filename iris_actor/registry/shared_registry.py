"""connect_registry: one registry per URL and process, handed out as handles that are counted.

::

    connect_registry(url) ─▶ RegistryHandle ─┐
    connect_registry(url) ─▶ RegistryHandle ─┴─▶ one EtcdRegistry (one lease) ─▶ etcd
                             the last close ──▶ closes it, which revokes the lease
"""

from __future__ import annotations

import atexit
import os
import re
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self

from iris_actor.errors import ForkedProcessError, RegistryError
from iris_actor.registry.endpoint import Endpoint
from iris_actor.registry.fork_guard import ForkGuard
from iris_actor.registry.registry import Directory, Registration, Registry
from iris_actor.registry.url import RegistryURL
from iris_actor.unpatched import check_threads

_lock = threading.Lock()  # guards the two tables and the counts in them
_shared: dict[str, tuple[Registry, int]] = {}
_etcd_used_by: int | None = None
"""Process that has connected to an etcd; gRPC cannot be used in a fork of it."""


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
        return RegistryError(f"registry {_shown(self.url)} is closed")

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
        return f"<registry {_shown(self.url)}{' (closed)' if self._closed else ''}>"


def _shown(url: str) -> str:
    return re.sub(r"(://[^@/?]*?:)[^/?]*@", r"\1***@", url)


def connect_registry(
    url: str | Registry,
    *,
    user: str | None = None,
    password: str | None = None,
    ca: str | os.PathLike[str] | None = None,
    cert: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
    ttl: int | None = None,
) -> Registry:
    """A handle on the registry at `url`. Returns at once; it connects when it is used. Thread-safe.

    Handles of the same URL share one registry in a process, hence one lease; the last one closed ends it. At
    the exit of the interpreter those that are left open are closed.

    Args:
        url: ``etcd://[user:password@]host[:port][,host...][/prefix][?ttl=10&ca=..&cert=..&key=..]``, or
            ``memory://[name]``: one in this process. Or a registry, of which another handle is given.
        user: of etcd.
        password: its password.
        ca: file with the certificates (PEM) to check the server's against; turns TLS on.
        cert: file with the client's certificate chain (PEM).
        key: file with its private key (PEM).
        ttl: seconds that announcements outlive this process, from 1.

    Raises:
        InvalidURLError: (a ValueError) the URL, or a keyword, cannot be understood, or a file not be read.
        ForkedProcessError: in a process forked from one that was connected to an etcd.
        PatchedThreadsError: (a RuntimeError) `threading` is monkey-patched, by gevent or eventlet.
        TypeError: keywords together with a registry.
    """
    check_threads()
    keywords: dict[str, Any] = {"user": user, "password": password, "ttl": ttl}
    keywords |= {name: path and os.fspath(path) for name, path in (("ca", ca), ("cert", cert), ("key", key))}
    keywords = {name: value for name, value in keywords.items() if value is not None}
    if isinstance(url, RegistryHandle):
        if keywords:
            raise TypeError(f"{', '.join(keywords)}: these go with a URL, not with a registry")
        return url.share()
    if not isinstance(url, str):
        if keywords or not hasattr(url, "register"):
            raise TypeError(f"connect_registry takes a URL, or a registry without keywords, not {url!r}")
        return _borrow(url)
    parsed = RegistryURL.parse(url)
    if keywords:
        if parsed.scheme == "memory":
            raise TypeError(f"{', '.join(keywords)}: a memory registry takes no options")
        parsed = replace(parsed, **keywords)
    return _connect(parsed)


def _borrow(registry: Registry) -> RegistryHandle:
    return RegistryHandle(registry, lambda: _borrow(registry), lambda: False)


def _connect(url: RegistryURL) -> RegistryHandle:
    global _etcd_used_by  # noqa: PLW0603 - a fact about the process
    text = url.text
    with _lock:
        if url.scheme == "etcd" and _etcd_used_by not in {None, os.getpid()}:
            raise ForkedProcessError(_etcd_used_by or 0)
        registry, users = _shared.get(text, (None, 0))
        if registry is None:
            registry = _make(url)
            if url.scheme == "etcd":
                _etcd_used_by = os.getpid()
        _shared[text] = (registry, users + 1)
    return RegistryHandle(registry, partial(_connect, url), partial(_release, text, registry))


def _make(url: RegistryURL) -> Registry:
    # Imported here: etcd3 and gRPC take longer to import than all the rest.
    if url.scheme == "memory":
        from iris_actor.registry.memory_registry import MemoryRegistry

        return MemoryRegistry(url)
    from iris_actor.registry.etcd_registry import EtcdRegistry

    return EtcdRegistry(url)


def _release(text: str, registry: Registry) -> bool:
    with _lock:
        current, users = _shared.get(text, (None, 0))
        if current is not registry:
            return True
        if users > 1:
            _shared[text] = (registry, users - 1)
            return False
        del _shared[text]
    registry.close()
    return True


def _close_all() -> None:
    with _lock:
        registries = [registry for registry, _ in _shared.values()]
        _shared.clear()
    for registry in registries:
        registry.close()


def _after_fork_in_child() -> None:
    # Another thread may have held the lock; the registries are the parent's.
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    _shared.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_after_fork_in_child)
