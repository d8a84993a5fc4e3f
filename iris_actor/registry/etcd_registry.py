"""EtcdRegistry: endpoints kept in etcd.

::

    register ──▶ EtcdAnnouncer ──(lease, transactions)──▶ etcd ──(list, watch)──▶ EtcdWatch ──▶ directory
                 one thread                                     one thread a namespace
"""

from __future__ import annotations

import threading
from functools import partial
from types import TracebackType
from typing import Any, Self

from iris_actor.deadline import Deadline, check_timeout
from iris_actor.errors import RegistryError
from iris_actor.naming import check_namespace
from iris_actor.registry.directory_handle import DirectoryHandle
from iris_actor.registry.endpoint import Endpoint
from iris_actor.registry.endpoint_keys import EndpointKeys, check_endpoint, range_end
from iris_actor.registry.etcd_announcer import EtcdAnnouncer
from iris_actor.registry.etcd_connection import Client, EtcdConnection
from iris_actor.registry.etcd_registration import EtcdRegistration
from iris_actor.registry.etcd_stubs import etcdrpc
from iris_actor.registry.etcd_watch import EtcdWatch
from iris_actor.registry.fork_guard import ForkGuard
from iris_actor.registry.reachability import Reachability
from iris_actor.registry.url import RegistryURL

DEFAULT_TIMEOUT = 5.0
"""Seconds that registering and listing wait for etcd when nothing else is asked for."""


class EtcdRegistry:
    """A `Registry` in etcd, thread-safe. Take it from `connect_registry`: a process needs but one lease.

    Args:
        url: an etcd URL.

    Raises:
        InvalidURLError: (a ValueError) when a file that it names cannot be read.
    """

    def __init__(self, url: RegistryURL) -> None:
        self._url = url
        self._keys = EndpointKeys(url.prefix)
        self._guard = ForkGuard()
        self._reachability = Reachability(str(url))
        self._reads = EtcdConnection(url, self._reachability)
        self._announcer = EtcdAnnouncer(url, self._reachability)
        self._lock = threading.Lock()  # guards what follows
        self._watches: dict[str, tuple[EtcdWatch, int]] = {}
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
        self._guard.check()
        check_endpoint(endpoint)
        registration = EtcdRegistration(endpoint, self._keys.key(endpoint), self._withdraw)
        self._announcer.register(registration, _deadline(timeout))
        return registration

    def _withdraw(self, registration: EtcdRegistration, timeout: float | None) -> None:
        if not self._guard.forked:
            self._announcer.withdraw(registration, check_timeout(timeout))

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
            watch, users = self._watches.get(namespace, (None, 0))
            if watch is None:
                watch = EtcdWatch(self._url, namespace, self._keys, self._reachability)
            self._watches[namespace] = (watch, users + 1)
        return DirectoryHandle(
            watch.cache, partial(self._release, namespace, watch), trouble=lambda: watch.trouble
        )

    def _release(self, namespace: str, watch: EtcdWatch) -> None:
        with self._lock:
            current, users = self._watches.get(namespace, (None, 0))
            if current is not watch:
                return
            if users > 1:
                self._watches[namespace] = (watch, users - 1)
                return
            del self._watches[namespace]
        watch.close()

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
        self._guard.check()
        places = (self._keys.split(kv.key) for kv in self._read(prefix, timeout, keys_only=True))
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
        self._guard.check()
        endpoints = (self._keys.decode(kv.key, kv.value) for kv in self._read(prefix, timeout))
        return [endpoint for endpoint in endpoints if endpoint is not None]

    def _read(self, prefix: str, timeout: float | None, *, keys_only: bool = False) -> Any:
        first = self._keys.below(prefix)
        request = etcdrpc.RangeRequest(
            key=first,
            range_end=range_end(first),
            sort_target=etcdrpc.RangeRequest.CREATE,
            sort_order=etcdrpc.RangeRequest.ASCEND,
            keys_only=keys_only,
        )

        def read(client: Client) -> Any:
            return client.kvstub.Range(request, client.timeout, metadata=client.metadata)

        return self._reads.call(read, _deadline(timeout), "listing").kvs

    def close(self) -> None:
        """Withdraw all, revoke the lease, end the watches: in less than a second. Idempotent."""
        if self._guard.forked:
            return
        with self._lock:
            self._closed = True
            watches = [watch for watch, _ in self._watches.values()]
            self._watches.clear()
        self._reachability.close()
        self._announcer.close()
        self._reads.close()
        for watch in watches:
            watch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EtcdRegistry({str(self._url)!r})"


def _deadline(timeout: float | None) -> Deadline:
    checked = check_timeout(timeout)
    return Deadline.after(DEFAULT_TIMEOUT if checked is None else checked)
