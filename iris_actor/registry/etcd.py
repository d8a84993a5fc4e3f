"""EtcdRegistry: a registry in etcd."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from iris_actor.deadline import Deadline
from iris_actor.registry.directory import DirectoryHandle
from iris_actor.registry.endpoint import Endpoint
from iris_actor.registry.endpoint_json import base_key, from_json, name_of
from iris_actor.registry.etcd_client import EtcdClient
from iris_actor.registry.etcd_lease import EtcdLease, EtcdRegistration
from iris_actor.registry.etcd_watch import EtcdWatch
from iris_actor.registry.url import RegistryURL

REGISTER_TIMEOUT = 10.0
"""Seconds to wait for etcd where the caller says nothing."""


class EtcdRegistry:
    """A `Registry` in etcd; one lease and one connection for all that it does.

    Args:
        url: which etcd.
    """

    def __init__(self, url: RegistryURL) -> None:
        self.url = url.text(password=True)
        self._parsed = url
        self._client = EtcdClient(url)
        self._lease = EtcdLease(self._client, url)
        self._lock = threading.Lock()  # guards the watches and their users
        self._watches: dict[str, tuple[EtcdWatch, int]] = {}
        self._closed = False

    def register(self, endpoint: Endpoint, timeout: float | None = None) -> EtcdRegistration:
        """See `Registry.register`."""
        return self._lease.register(endpoint, Deadline.after(REGISTER_TIMEOUT if timeout is None else timeout))

    def directory(self, namespace: str) -> DirectoryHandle:
        """See `Registry.directory`."""
        with self._lock:
            watch, users = self._watches.get(namespace, (None, 0))
            if watch is None:
                watch = EtcdWatch(self._client, self._parsed, namespace)
            self._watches[namespace] = (watch, users + 1)
        return DirectoryHandle(watch.cache, lambda: self._release(namespace))

    def _release(self, namespace: str) -> None:
        with self._lock:
            watch, users = self._watches.get(namespace, (None, 0))
            if watch is None:
                return
            if users > 1:
                self._watches[namespace] = (watch, users - 1)
                return
            del self._watches[namespace]
        watch.close()
        watch.join(1)

    def list(self, prefix: str = "", timeout: float | None = None) -> list[Endpoint]:
        """See `Registry.list`."""
        base = base_key(self._parsed.prefix)
        response = self._client.run(
            lambda client, _: client.get_prefix_response(
                base + prefix, sort_order="ascend", sort_target="create"
            ),
            Deadline.after(REGISTER_TIMEOUT if timeout is None else timeout),
        )
        found = (from_json(name_of(self._parsed.prefix, pair.key.decode()), pair.value) for pair in response.kvs)
        return [endpoint for endpoint in found if endpoint is not None]

    def close(self) -> None:
        """See `Registry.close`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            watches = [watch for watch, _ in self._watches.values()]
            self._watches.clear()
        for watch in watches:
            watch.close()
        self._lease.close()
        self._client.close()
        for watch in watches:
            watch.join(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()
