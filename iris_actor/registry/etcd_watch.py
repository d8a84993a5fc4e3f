"""EtcdWatch: keeps one namespace's cache current from etcd.

List at a revision, watch from the next one; after a break resume there, with whichever member answers;
list again when what was missed is compacted, or when another etcd (a wiped one) answers. While etcd is
silent the cache stays as it is, marked stale. etcd3's own Watcher is not used: while etcd is down it spins,
and it forgets its watches.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from iris_actor.errors import RegistryError
from iris_actor.registry.directory import DirectoryCache, Entry
from iris_actor.registry.endpoint_json import base_key, from_json, name_of
from iris_actor.registry.etcd_client import REQUEST_TIMEOUT, EtcdClient
from iris_actor.registry.etcd_stubs import load_etcd3
from iris_actor.registry.url import RegistryURL
from iris_actor.retry import Backoff

_AGAIN = Backoff(first=0.05, most=1.0)


class EtcdWatch:
    """Feeds `cache` from a thread of its own until it is closed."""

    def __init__(self, client: EtcdClient, url: RegistryURL, namespace: str) -> None:
        self.cache = DirectoryCache()
        self._client = client
        self._url = url
        self._prefix = f"{base_key(url.prefix)}{namespace}/"
        self._rpc = load_etcd3().etcdrpc
        self._closed = threading.Event()
        self._stream: Any = None
        self._cluster = 0
        self._relist = True
        self._attempt = 0
        self._thread = threading.Thread(target=self._run, name=f"iris-registry-watch-{namespace}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._client.attempt(self._follow, REQUEST_TIMEOUT)
            except RegistryError:
                pass
            except Exception:
                # A malformed answer must not end the watch for good: list again.
                self._relist = True
            self.cache.stale = True
            self._closed.wait(_AGAIN.delay(self._attempt))
            self._attempt += 1

    def _follow(self, client: Any, timeout: float) -> None:
        """List if need be, and watch until the stream breaks."""
        if self._relist:
            self._list(client, timeout)
        halt = threading.Event()
        stream = client.watcher._watch_stub.Watch(  # etcd3 keeps the stub there
            self._requests(halt), credentials=client.call_credentials, metadata=client.metadata
        )
        self._stream = stream
        if self._closed.is_set():
            stream.cancel()
        try:
            for response in stream:
                if not self._take(response):
                    return
        finally:
            halt.set()
            stream.cancel()
            self._stream = None

    def _requests(self, halt: threading.Event) -> Iterator[Any]:
        key = self._prefix.encode()
        create = self._rpc.WatchCreateRequest(
            key=key,
            range_end=_after(key),
            start_revision=self.cache.revision + 1,
            progress_notify=True,
        )
        yield self._rpc.WatchRequest(create_request=create)
        halt.wait()

    def _list(self, client: Any, _timeout: float) -> None:
        response = client.get_prefix_response(self._prefix, sort_order="ascend", sort_target="create")
        entries = (self._entry(pair) for pair in response.kvs)
        self.cache.replace([entry for entry in entries if entry is not None], response.header.revision)
        self._cluster = response.header.cluster_id
        self._relist = False

    def _take(self, response: Any) -> bool:
        """Apply one response; False when the stream is of no more use."""
        header = response.header
        if response.canceled:
            self._relist = True  # compacted, as a rule
            self._attempt = 0 if response.compact_revision else self._attempt
            return False
        if header.cluster_id != self._cluster or header.revision < self.cache.revision:
            self._relist = True  # an etcd that lost its data, or another one
            return False
        self._attempt = 0
        put = []
        deleted = []
        for event in response.events:
            key = event.kv.key.decode()
            if event.type == 0:
                entry = self._entry(event.kv)
                if entry is not None:
                    put.append(entry)
            else:
                deleted.append((key, name_of(self._url.prefix, key)))
        # Within one response a key may be put and deleted, so order matters: one event at a time then.
        if put and deleted:
            for event in response.events:
                self._apply_one(event)
        revision = header.revision if response.events else self.cache.revision
        self.cache.apply(put if not deleted else [], deleted if not put else [], revision)
        return True

    def _apply_one(self, event: Any) -> None:
        key = event.kv.key.decode()
        entry = self._entry(event.kv) if event.type == 0 else None
        put = [entry] if entry is not None else []
        deleted = [(key, name_of(self._url.prefix, key))] if event.type != 0 else []
        self.cache.apply(put, deleted, self.cache.revision)

    def _entry(self, pair: Any) -> tuple[str, Entry] | None:
        key = pair.key.decode()
        endpoint = from_json(name_of(self._url.prefix, key), pair.value)
        return None if endpoint is None else (key, (pair.create_revision, endpoint))

    def close(self) -> None:
        """End the watch. Idempotent; returns at once."""
        self._closed.set()
        stream = self._stream
        if stream is not None:
            stream.cancel()

    def join(self, timeout: float) -> None:
        """Wait for the thread of a closed watch."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)


def _after(prefix: bytes) -> bytes:
    """The first key behind all that begin with `prefix`."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))
