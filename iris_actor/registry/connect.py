"""connect_registry: one registry per URL and process, handed out as handles that are counted.

::

    connect_registry(url) ─▶ RegistryHandle ─┐
    connect_registry(url) ─▶ RegistryHandle ─┴─▶ one EtcdRegistry (one lease) ─▶ etcd
                             the last close ──▶ closes it, which revokes the lease
"""

from __future__ import annotations

import atexit
import os
import threading
from dataclasses import replace
from functools import partial
from typing import Any

from iris_actor.errors import ForkedProcessError
from iris_actor.etcd.url import SCHEME as ETCD
from iris_actor.registry.registry import Registry
from iris_actor.registry.registry_handle import RegistryHandle
from iris_actor.registry.url import MEMORY, RegistryURL
from iris_actor.threads.after_fork import ForkStage, at_fork
from iris_actor.unpatched import check_threads

_lock = threading.Lock()  # guards what follows
_shared: dict[str, tuple[Registry, int]] = {}
_etcd_used_by: int | None = None
"""Process that has connected to an etcd; gRPC cannot be used in a fork of it."""


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
        if parsed.scheme == MEMORY:
            raise TypeError(f"{', '.join(keywords)}: a memory registry takes no options")
        parsed = replace(parsed, **keywords)
    return _connect(parsed)


def _borrow(registry: Registry) -> RegistryHandle:
    return RegistryHandle(registry, lambda: _borrow(registry), lambda: False)


def _connect(url: RegistryURL) -> RegistryHandle:
    global _etcd_used_by  # noqa: PLW0603 - a fact about the process
    text = url.text
    with _lock:
        if url.scheme == ETCD and _etcd_used_by not in {None, os.getpid()}:
            raise ForkedProcessError(_etcd_used_by or 0)
        registry, users = _shared.get(text, (None, 0))
        if registry is None:
            registry = _make(url)
            if url.scheme == ETCD:
                _etcd_used_by = os.getpid()
        _shared[text] = (registry, users + 1)
    return RegistryHandle(registry, partial(_connect, url), partial(_release, text, registry))


def _make(url: RegistryURL) -> Registry:
    # Imported here: etcd3 and gRPC take longer to import than all the rest.
    if url.scheme == MEMORY:
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
at_fork(ForkStage.CONNECTIONS, in_child=_after_fork_in_child)
