"""RegistryResolver and EtcdResolver: names looked up in a registry, from its watched cache."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from iris_actor.actor.environment import REGISTRY, Environment
from iris_actor.actor.resolve_result import ResolveResult
from iris_actor.actor.resolver import Resolver
from iris_actor.deadline import check_timeout
from iris_actor.errors import InvalidURLError, OutsideJobError, RegistryError
from iris_actor.registry import connect_registry
from iris_actor.registry.registry import Directory, Registry
from iris_actor.rpc.credentials import Credentials
from iris_actor.rpc.sessions import sessions
from iris_actor.threads.after_fork import ForkStage, at_fork
from iris_actor.threads.fork_guard import ForkGuard


class RegistryResolver(Resolver):
    """Resolves names in a registry.

    Args:
        registry: URL (``etcd://host:2379``, ``memory://name``) or a Registry. None takes ``IRIS_REGISTRY``.
        namespace: where names that are not absolute live. None takes the job's, and ``"default"``
            outside a job.
        credentials: what the servers of the actors ask for.
        resolve_timeout: seconds that `resolve` waits for the registry's first listing.

    Raises:
        OutsideJobError: without `registry` outside a job.
        InvalidURLError, InvalidNameError: (ValueErrors) for a bad URL or namespace.

    A pickled copy connects to the same registry; it carries the registry's URL and the credentials.
    """

    def __init__(
        self,
        registry: str | Registry | None = None,
        *,
        namespace: str | None = None,
        credentials: Credentials | None = None,
        resolve_timeout: float = 30.0,
    ) -> None:
        if check_timeout(resolve_timeout) is None:
            raise ValueError("resolve_timeout must be a number of seconds, got None")
        self.resolve_timeout = resolve_timeout
        environment = Environment.read()
        self.namespace = environment.namespace(namespace)
        self.credentials = credentials
        source = registry if registry is not None else environment.registry
        if source is None:
            raise OutsideJobError(REGISTRY)
        self._registry = connect_registry(source)
        self._guard = ForkGuard()  # asked before the lock, which the parent may have held at the fork
        self._lock = threading.Lock()  # guards the tables
        self._directories: dict[str, Directory] = {}
        # By name: what was found last, and at which revision of which directory.
        self._found: dict[str, tuple[int, Directory, ResolveResult]] = {}
        self._closed = False
        self._directory(self.namespace)

    def _directory(self, namespace: str) -> Directory:
        directory = self._directories.get(namespace)
        if directory is None:
            self._guard.check()
            with self._lock:
                if self._closed:
                    raise RuntimeError("the resolver is closed")
                directory = self._directories.get(namespace)
                if directory is None:
                    directory = self._directories[namespace] = self._registry.directory(namespace)
                    # A server whose lease ended is dead if its session is silent, too.
                    directory.subscribe(_ignore, partial(sessions.doubt, announced=directory.announces))
        return directory

    def _place(self, name: str) -> tuple[str, Directory]:
        full = self.qualify(name, framework=True)
        return full, self._directory(full.split("/", 1)[0])

    def resolve(self, name: str) -> ResolveResult:
        found = self._found.get(name)
        if found is None:
            directory = self._place(name)[1]
            if not directory.wait_synced(self.resolve_timeout):
                raise _no_listing(directory)
            return self._look_up(name, None)
        revision, directory, known = found
        return known if directory.revision == revision else self._look_up(name, known)

    def known(self, name: str) -> ResolveResult | None:
        # One table is looked at where nothing has changed: of thousands of names, each look misses the
        # processor's caches several times. It has only names of directories that were listed.
        found = self._found.get(name)
        if found is None:
            return self._look_up(name, None) if self._place(name)[1].listed else None
        revision, directory, known = found
        return known if directory.revision == revision else self._look_up(name, known)

    def _look_up(self, name: str, known: ResolveResult | None) -> ResolveResult:
        full, directory = self._place(name)
        revision = directory.revision  # before the endpoints: after a change in between we look again
        endpoints = directory.endpoints(full)
        if known is not None and known.endpoints is endpoints:
            result = known
        else:
            result = ResolveResult(full, endpoints, revision)
        self._found[name] = revision, directory, result
        return result

    def list(self, prefix: str = "", *, timeout: float | None = 5.0) -> list[str]:
        full = prefix[1:] if prefix.startswith("/") else f"{self.namespace}/{prefix}"
        if not full:
            return self._registry.names(timeout=timeout)
        directory = self._directory(full.split("/", 1)[0])
        if not directory.wait_synced(timeout):
            raise _no_listing(directory)
        return directory.names(full)

    def trouble(self, name: str) -> RegistryError | None:
        return self._place(name)[1].trouble

    def subscribe(self, name: str, on_change: Callable[[], None]) -> Callable[[], None]:
        full, directory = self._place(name)

        def changed(names: frozenset[str]) -> None:
            if full in names:
                on_change()

        return directory.subscribe(changed)

    def wait_synced(self, name: str, timeout: float | None = None) -> bool:
        return self._place(name)[1].wait_synced(timeout)

    def close(self) -> None:
        if self._guard.forked:
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            directories = list(self._directories.values())
        for directory in directories:
            directory.close()
        self._registry.close()

    def __reduce__(self) -> tuple[Any, ...]:
        key = (type(self), self._registry.url, self.namespace, self.credentials)
        return _shared_resolver, (*key, self.resolve_timeout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(namespace={self.namespace!r})"


class EtcdResolver(RegistryResolver):
    """Resolves names in an etcd registry; see `RegistryResolver`.

    Args:
        url: ``etcd://host:2379[,host2:2379...][/prefix][?ttl=10]``. None takes ``IRIS_REGISTRY``.
        namespace, credentials, resolve_timeout: as for `RegistryResolver`.

    Raises:
        InvalidURLError: (a ValueError) for another kind of URL.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str | None = None,
        credentials: Credentials | None = None,
        resolve_timeout: float = 30.0,
    ) -> None:
        if url is not None and not url.startswith("etcd://"):
            raise InvalidURLError(url, "EtcdResolver takes an etcd:// URL")
        super().__init__(url, namespace=namespace, credentials=credentials, resolve_timeout=resolve_timeout)


def _no_listing(directory: Directory) -> RegistryError:
    return directory.trouble or RegistryError("there is no listing of the registry, and no reason known")


def _ignore(_names: frozenset[str]) -> None:
    pass


_shared: dict[Any, RegistryResolver] = {}
_shared_lock = threading.Lock()


def _shared_resolver(
    cls: type[RegistryResolver],
    url: str,
    namespace: str,
    credentials: Credentials | None,
    resolve_timeout: float,
) -> RegistryResolver:
    """The resolver that handles which arrived in this process share; it lives as long as the process."""
    key = (cls, url, namespace, credentials, resolve_timeout)
    with _shared_lock:
        resolver = _shared.get(key)
        if resolver is None:
            resolver = cls(url, namespace=namespace, credentials=credentials)
            resolver.resolve_timeout = resolve_timeout
            _shared[key] = resolver
        return resolver


def _after_fork_in_child() -> None:
    global _shared_lock  # noqa: PLW0603 - another thread may have held it in the parent
    _shared_lock = threading.Lock()
    _shared.clear()


at_fork(ForkStage.CONNECTIONS, in_child=_after_fork_in_child)
