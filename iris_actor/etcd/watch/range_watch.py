"""RangeWatch: tells a listener what is in a range of keys, and how that changes.

::

    list all keys, at revision r ──▶ watch from r + 1 ──▶ changes ──▶ listener
          ▲                              │      ▲
          │ compacted, or other data     │      └── again from the last revision seen
          └──────────────────────────────┴── the stream broke, or was silent

One thread a watch, one stream each, all on one connection. A WatchPlan decides; the thread asks etcd.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc

from iris_actor.deadline import Deadline
from iris_actor.errors import RegistryError, RegistryUnavailableError
from iris_actor.etcd.connection.etcd_connection import EtcdConnection
from iris_actor.etcd.connection.member import Client
from iris_actor.etcd.data_id import data_id_key
from iris_actor.etcd.key_range import KeyRange
from iris_actor.etcd.reading import list_keys
from iris_actor.etcd.stubs import etcdrpc
from iris_actor.etcd.watch.listener import Change, WatchListener
from iris_actor.etcd.watch.plan import List, Position, Wait, WatchPlan
from iris_actor.etcd.watch.pulse import WatchPulse

_log = logging.getLogger(__name__)

LIST_TIMEOUT = 10.0
"""Seconds that a listing may take before the watch counts as broken."""


class _ListenerError(Exception):
    """Carries an exception of a listener past those that translate what etcd's client raises."""


class RangeWatch:
    """Starts its thread when made. `close` ends it. Thread-safe.

    Args:
        connection: to etcd; others may use it.
        keys: what to watch.
        listener: who hears of it. An exception of its makes the watch list everything anew.
        name: what log and errors call the range.
        ended: called with this when its thread ends.
    """

    def __init__(
        self,
        connection: EtcdConnection,
        keys: KeyRange,
        listener: WatchListener,
        *,
        name: str,
        ended: Callable[[RangeWatch], None] = lambda _: None,
    ) -> None:
        self._connection = connection
        self._url = connection.url
        self._keys = keys
        self._listener = listener
        self._name = name
        self._ended = ended
        self._data_id_key = data_id_key(self._url.prefix)
        self._plan = WatchPlan()  # the thread's own, but for reading its attributes
        self._told_stale = True
        self._lock = threading.Lock()  # guards the pulse and closing, so that no stream begins after close
        self._pulse: WatchPulse | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"iris-watch {name}", daemon=True)
        self._thread.start()

    @property
    def refusal(self) -> RegistryError | None:
        """Why etcd does not let us watch, or that this is closed; None when all is well or etcd is away."""
        if self._closing.is_set():
            return RegistryError(f"registry {self._url} is closed")
        refusal = self._plan.refusal
        return None if refusal is None else RegistryError(str(refusal))

    def stop(self) -> None:
        """Have the watch end; the listener hears no more once the thread has ended. Idempotent."""
        with self._lock:
            self._closing.set()
            pulse = self._pulse
        if pulse is not None:
            pulse.end()

    def join(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the end of the thread, unless it is this one."""
        # A listener may close what calls it.
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def close(self, timeout: float = 0.5) -> None:
        """`stop`, and `join`. A request that is under way may take the thread longer to end. Idempotent."""
        self.stop()
        self.join(timeout)

    # --- the thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._step()
            except RegistryError as error:
                self._broken(error)
            except Exception:
                if not self._closing.is_set():
                    _log.exception("the watch of %s failed and starts anew", self._name)
                self._plan.failed(time.monotonic())
            self._tell_stale()
        self._ended(self)

    def _step(self) -> None:
        action = self._plan.next(time.monotonic())
        if isinstance(action, Wait):
            self._closing.wait(action.until - time.monotonic())
        elif isinstance(action, List):
            self._list()
        else:
            self._follow(action.revision)

    def _broken(self, error: RegistryError) -> None:
        if self._closing.is_set():
            return
        if self._plan.broke(error, time.monotonic()):
            _log.warning(
                "registry %s refuses to show %s, and is asked again and again: %s",
                self._url,
                self._name,
                error,
            )
        else:  # that etcd does not answer is for `Reachability` to tell, if it lasts
            _log.debug("the watch of %s broke and is taken up again: %s", self._name, error)

    def _tell_stale(self) -> None:
        stale = self._plan.stale
        if stale is not self._told_stale and not self._closing.is_set():
            self._told_stale = stale
            self._pass_on(self._listener.stale, stale)

    def _pass_on(self, hear: Callable[..., None], *heard: object) -> None:
        try:
            hear(*heard)
        except Exception as error:
            raise _ListenerError(f"a listener of {self._name} failed") from error

    def _list(self) -> None:
        doing = f"listing {self._name}"
        deadline = Deadline.after(LIST_TIMEOUT)
        listing = list_keys(self._connection, self._keys, self._data_id_key, deadline, doing, self._closing)
        if not self._closing.is_set():
            self._pass_on(self._listener.listed, listing.keys, listing.revision)
            self._plan.listed(Position(listing.revision, listing.data_id, listing.cluster))

    def _follow(self, revision: int) -> None:
        """Follow the changes until a break (RegistryError), or until there is a need to list."""
        pulse = WatchPulse(
            etcdrpc.WatchCreateRequest(
                key=self._keys.first, range_end=self._keys.end, start_revision=revision
            )
        )
        with self._lock:
            if self._closing.is_set():
                return
            self._pulse = pulse
        try:
            with self._connection.stream("watching") as client:
                self._read(client, pulse)
        except RegistryUnavailableError as error:
            if pulse.silent:
                raise RegistryUnavailableError(
                    str(self._url), "watching: etcd is silent", error.since
                ) from None
            raise
        finally:
            pulse.end()
            self._connection.outlive(pulse.join(0.5))

    def _read(self, client: Client, pulse: WatchPulse) -> None:
        # A member that is cut off from its cluster has nothing to tell, and says so only if asked to.
        metadata = (*(client.metadata or ()), ("hasleader", "true"))
        stub = etcdrpc.WatchStub(client.channel)
        call = self._connection.begin(client, lambda: stub.Watch(pulse.requests(), metadata=metadata))
        pulse.attach(call)
        if self._closing.is_set():
            pulse.end()
        try:
            for response in call:
                pulse.heard()
                if not self._take(response, client):
                    return
        except grpc.RpcError:
            # Cancelled by `stop`, which says nothing about etcd.
            if not self._closing.is_set():
                raise
            return
        raise RegistryUnavailableError(str(self._url), "watching: etcd ended the stream")

    def _take(self, response: Any, client: Client) -> bool:
        """Take one response; whether more are wanted."""
        if response.canceled:
            if not response.compact_revision:
                reason = response.cancel_reason or "etcd ended the watch"
                raise RegistryError(f"registry {self._url}: watching: {reason}")
            self._plan.compacted()
            return False
        if response.created:
            header = response.header
            there = Position(header.revision, self._data_id(client), header.cluster_id)
            if not self._plan.confirmed(there, time.monotonic()):
                _log.info("etcd at %s may have other data than before; listing them", self._url)
                return False
            self._connection.answered()
            self._tell_stale()
        elif response.events:
            changes = [
                Change(
                    event.kv.key, event.kv.value if event.type == event.PUT else None, event.kv.mod_revision
                )
                for event in response.events
            ]
            revision = max(change.revision for change in changes)
            self._pass_on(self._listener.changed, changes, revision)
            self._plan.changed(revision)
        return True

    def _data_id(self, client: Client) -> bytes | None:
        """Asked on the connection of the stream: no restart can come in between unnoticed."""
        found = client.kvstub.Range(
            etcdrpc.RangeRequest(key=self._data_id_key), client.timeout, metadata=client.metadata
        )
        return found.kvs[0].value if found.kvs else None
