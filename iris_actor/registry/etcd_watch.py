"""EtcdWatch: keeps a DirectoryCache equal to one namespace in etcd.

::

    list all keys, at revision r ──▶ watch from r + 1 ──▶ events ──▶ cache
          ▲                              │      ▲
          │ compacted, or other data     │      └── again from the last revision seen
          └──────────────────────────────┴── the stream broke, or was silent

One thread a namespace. While etcd is away the cache stays as it is and is marked stale. Endpoints leave it
only because etcd said so: by an event, or by a listing that lacks them.

Whether etcd's data are still the same is asked after each break: revisions of an etcd that began anew, or of
another etcd behind the same address, mean nothing to us although they look alike. Each etcd that a registry
has written to carries a random id (`EndpointKeys.store`) to tell.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from typing import Any

from iris_actor.deadline import Deadline
from iris_actor.errors import RegistryError, RegistryUnavailableError
from iris_actor.registry.directory_cache import Change, DirectoryCache
from iris_actor.registry.endpoint_keys import EndpointKeys, range_end
from iris_actor.registry.etcd_connection import Client, EtcdConnection
from iris_actor.registry.etcd_failure import CompactedError
from iris_actor.registry.etcd_stubs import etcdrpc
from iris_actor.registry.reachability import Reachability
from iris_actor.registry.url import RegistryURL
from iris_actor.registry.watch_pulse import WatchPulse
from iris_actor.retry import Backoff

_log = logging.getLogger(__name__)

PAGE = 2_000
"""Keys asked for at a time in a listing."""
LIST_TIMEOUT = 10.0
"""Seconds that a listing may take before the watch counts as broken."""


@dataclass(frozen=True, slots=True)
class _Position:
    """How far the cache has come in which history."""

    revision: int
    store: bytes | None
    """Id of the data, None when it has none; then a break always needs a listing."""
    cluster: int


class EtcdWatch:
    """Starts its thread when made. `close` ends it.

    Args:
        url: of the registry.
        namespace: what to watch.
        keys: of the registry.
        reachability: of the registry.
    """

    def __init__(
        self, url: RegistryURL, namespace: str, keys: EndpointKeys, reachability: Reachability
    ) -> None:
        self.cache = DirectoryCache(stale=True)
        self._url = url
        self._namespace = namespace
        self._keys = keys
        self._reachability = reachability
        self._prefix = self._keys.below(f"{namespace}/")
        self._connection = EtcdConnection(url, reachability)
        self._refusal = ""  # what etcd said when it last refused; empty when it did not
        self._position: _Position | None = None
        self._failures = 0
        self._lock = threading.Lock()  # guards the pulse and closing, so that no stream begins after close
        self._pulse: WatchPulse | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"iris-watch-{namespace}", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> RegistryError | None:
        """Why the cache may be behind, or is not filled yet; None when all is well."""
        if self._closing.is_set():
            return RegistryError(f"registry {self._url} is closed")
        if self._refusal:
            return RegistryError(self._refusal)
        trouble = self._reachability.trouble
        if trouble is None and not self.cache.listed:
            return RegistryUnavailableError(str(self._url), "it has not answered yet")
        return trouble

    def close(self) -> None:
        """End the watch and its thread. Idempotent."""
        with self._lock:
            self._closing.set()
            pulse = self._pulse
        if pulse is not None:
            pulse.end()
        self._connection.close()
        # A subscriber may close what calls it.
        if threading.current_thread() is not self._thread:
            self._thread.join(1.0)
        self.cache.end()

    def _run(self) -> None:
        backoff = Backoff(first=0.05, most=2.0)
        while not self._closing.is_set():
            try:
                self._follow()
            except RegistryError as error:
                self._broken(error)
                self._closing.wait(backoff.delay(self._failures - 1))
            except Exception:
                _log.exception("the watch of namespace %r failed and starts anew", self._namespace)
                self._position = None
                self.cache.stale = True
                self._failures += 1
                self._closing.wait(backoff.delay(self._failures - 1))

    def _broken(self, error: RegistryError) -> None:
        if self._closing.is_set():
            return
        self.cache.stale = True
        self._failures += 1
        if isinstance(error, RegistryUnavailableError):  # for `Reachability` to tell, if that lasts
            _log.debug("the watch of namespace %r broke and is taken up again: %s", self._namespace, error)
            return
        if not self._refusal:
            _log.warning(
                "registry %s refuses to show namespace %r, and is asked again and again: %s",
                self._url,
                self._namespace,
                error,
            )
        self._refusal = str(error)

    def _follow(self) -> None:
        """List where that is needed, then watch until a break (RegistryError) or a need to list (return)."""
        fresh = self._position is None
        if self._position is None:
            self._position = self._list()
            self.cache.stale = False
        create = etcdrpc.WatchCreateRequest(
            key=self._prefix, range_end=range_end(self._prefix), start_revision=self._position.revision + 1
        )
        pulse = WatchPulse(create)
        with self._lock:
            if self._closing.is_set():
                return
            self._pulse = pulse
        try:
            with self._connection.stream("watching") as client:
                self._watch(client, pulse, fresh=fresh)
        except RegistryUnavailableError as error:
            if pulse.silent:
                raise RegistryUnavailableError(
                    str(self._url), "watching: etcd is silent", error.since
                ) from None
            raise
        finally:
            pulse.end()
            pulse.join(0.5)

    def _watch(self, client: Client, pulse: WatchPulse, *, fresh: bool) -> None:
        # A member that is cut off from its cluster has nothing to tell, and says so only if asked to.
        metadata = (*(client.metadata or ()), ("hasleader", "true"))
        stub = etcdrpc.WatchStub(client.channel)
        call = self._connection.begin(client, lambda: stub.Watch(pulse.requests(), metadata=metadata))
        pulse.attach(call)
        if self._closing.is_set():
            pulse.end()
        for response in call:
            pulse.heard()
            if response.canceled:
                if response.compact_revision:
                    self._position = None
                    return
                raise RegistryError(
                    f"registry {self._url}: watching: {response.cancel_reason or 'etcd ended the watch'}"
                )
            if response.created:
                if not self._same_history(client, response.header, fresh=fresh):
                    if fresh:
                        self._position = None
                        raise RegistryUnavailableError(str(self._url), "its data changed while it was listed")
                    _log.info("etcd at %s may have other data than before; listing them", self._url)
                    self._position = None
                    return
                self._failures = 0
                self._refusal = ""
                self._connection.answered()
                self.cache.stale = False
            elif response.events:
                self._take(response.events)
        raise RegistryUnavailableError(str(self._url), "watching: etcd ended the stream")

    def _same_history(self, client: Client, header: Any, *, fresh: bool) -> bool:
        """Whether the watch that was just created goes on where the cache is.

        Asked on the connection of the stream: no restart can come in between unnoticed.
        """
        position = self._position
        if position is None or header.cluster_id != position.cluster or header.revision < position.revision:
            return False
        found = client.kvstub.Range(
            etcdrpc.RangeRequest(key=self._keys.store), client.timeout, metadata=client.metadata
        )
        store = found.kvs[0].value if found.kvs else None
        if fresh and position.store is None:
            # The first registration gave the data their id since the listing.
            self._position = replace(position, store=store)
            return True
        return store == position.store and (fresh or store is not None)

    def _take(self, events: Any) -> None:
        changes: list[Change] = []
        for event in events:
            endpoint = None
            if event.type == event.PUT:
                endpoint = self._keys.decode(event.kv.key, event.kv.value)
            place = self._keys.split(event.kv.key)
            if place is not None:
                # Also where a value is unreadable: what it was before is there no more.
                changes.append((*place, endpoint))
        position = self._position
        if position is not None:
            revision = max(event.kv.mod_revision for event in events)
            self._position = replace(position, revision=revision)
            self.cache.tell(self.cache.apply(changes, revision))

    def _list(self) -> _Position:
        """Bring the cache to what etcd holds now; returns where that is."""
        deadline = Deadline.after(LIST_TIMEOUT)
        while True:
            try:
                return self._list_once(deadline)
            except CompactedError:
                # Between two pages; the next listing begins at a newer revision.
                continue

    def _list_once(self, deadline: Deadline) -> _Position:
        def page(client: Client) -> Any:
            return client.kvstub.Txn(request, client.timeout, metadata=client.metadata)

        end = range_end(self._prefix)
        start, revision, pairs = self._prefix, 0, []
        position = None
        while True:
            request = etcdrpc.TxnRequest(
                success=[
                    etcdrpc.RequestOp(request_range=etcdrpc.RangeRequest(key=self._keys.store)),
                    etcdrpc.RequestOp(
                        request_range=etcdrpc.RangeRequest(
                            key=start, range_end=end, limit=PAGE, revision=revision
                        )
                    ),
                ]
            )
            answer = self._connection.call(page, deadline, f"listing namespace {self._namespace}")
            store, found = (response.response_range for response in answer.responses)
            if position is None:
                revision = answer.header.revision
                position = _Position(
                    revision, store.kvs[0].value if store.kvs else None, answer.header.cluster_id
                )
            for kv in found.kvs:
                endpoint = self._keys.decode(kv.key, kv.value)
                if endpoint is not None:
                    pairs.append((kv.create_revision, endpoint))
            if not found.more:
                break
            start = found.kvs[-1].key + b"\0"
        pairs.sort(key=lambda pair: pair[0])
        self.cache.tell(self.cache.replace((endpoint for _, endpoint in pairs), revision))
        return position
