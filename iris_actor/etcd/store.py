"""EtcdStore: what this process keeps in one etcd, and what it reads there.

::

    put, remove ──▶ LeasedKeys ──(one lease, one thread)──────────────────┐
    read ──────────────────────(asked when needed)────────────────────────┼──▶ etcd
    watch ────────▶ RangeWatch ──(one thread and stream each, together ───┘
                                  on one connection)
"""

from __future__ import annotations

import threading

from iris_actor.deadline import Deadline, check_timeout
from iris_actor.errors import RegistryError, RegistryUnavailableError
from iris_actor.etcd.connection.etcd_connection import EtcdConnection
from iris_actor.etcd.connection.reachability import Reachability
from iris_actor.etcd.key_range import KeyRange, KeyValue
from iris_actor.etcd.leased.key import LeasedKey
from iris_actor.etcd.leased.leased_keys import LeasedKeys
from iris_actor.etcd.reading import read
from iris_actor.etcd.url import EtcdURL
from iris_actor.etcd.watch.listener import WatchListener
from iris_actor.etcd.watch.range_watch import RangeWatch
from iris_actor.threads.fork_guard import ForkGuard

DEFAULT_TIMEOUT = 5.0
"""Seconds that putting and reading wait for etcd when nothing else is asked for."""


class EtcdStore:
    """Thread-safe. A process needs but one for each URL: it has one lease, which ends with it.

    In a process that was forked from the one that made it, `close` and `remove` do nothing, and all else
    raises a ForkedProcessError.

    Args:
        url: of the etcd.

    Raises:
        InvalidURLError: (a ValueError) when a file that `url` names cannot be read.
    """

    def __init__(self, url: EtcdURL) -> None:
        self.url = url
        self._guard = ForkGuard()
        self._reachability = Reachability(str(url))
        self._reads = EtcdConnection(url, self._reachability)
        self._watching = EtcdConnection(url, self._reachability)
        self._leased = LeasedKeys(url, self._reachability)
        self._lock = threading.Lock()  # guards what follows
        self._watches: set[RangeWatch] = set()
        self._closed = False

    @property
    def trouble(self) -> RegistryUnavailableError | None:
        """Why etcd cannot be reached, as the last attempt found; None while it can."""
        return self._reachability.trouble

    def put(self, leased: LeasedKey, timeout: float | None = None, *, wait_for_turn: bool = False) -> None:
        """Return once `leased` is in etcd. It is put back whenever it is lost, until it is removed.

        Args:
            leased: a new one. Its key must not exist, unless with the value that it may replace.
            timeout: seconds until it is given up, and removed again; 5 when None.
            wait_for_turn: wait for another process that holds the key to let it go.

        Raises:
            ValueError: `leased` was put before.
            RegistryUnavailableError: etcd did not answer in time.
            KeyTakenError: another process holds the key.
            RegistryError: etcd refused; this process has the key already; or this is closed.
        """
        self._guard.check()
        self._leased.put(leased, _deadline(timeout), wait_for_turn=wait_for_turn)

    def remove(self, leased: LeasedKey, timeout: float | None = None) -> None:
        """Delete `leased` if it is still our own. Idempotent.

        Args:
            leased: what to delete.
            timeout: seconds to wait for etcd, a short time when None. What is not done by then is done
                later, or by the end of the lease.
        """
        if not self._guard.forked:
            self._leased.remove(leased, check_timeout(timeout))

    def read(
        self, keys: KeyRange, timeout: float | None = None, *, keys_only: bool = False
    ) -> list[KeyValue]:
        """What is there now, in order of creation, asked of etcd itself.

        Args:
            keys: which.
            timeout: seconds to wait for etcd; 5 when None.
            keys_only: leave the values out.

        Raises:
            RegistryUnavailableError: etcd did not answer in time.
            RegistryError: etcd refused, or this is closed.
        """
        self._guard.check()
        return read(self._reads, keys, _deadline(timeout), "listing", keys_only=keys_only)

    def watch(self, keys: KeyRange, listener: WatchListener, *, name: str = "") -> RangeWatch:
        """Have `listener` told what is there, and how that changes; returns at once.

        Args:
            keys: which.
            listener: called in a thread of the watch's own.
            name: what log and errors call them; by default the keys themselves.

        Raises:
            RegistryError: this is closed.
        """
        self._guard.check()
        with self._lock:
            if self._closed:
                raise RegistryError(f"registry {self.url} is closed")
            watch = RangeWatch(
                self._watching, keys, listener, name=name or f"keys {keys}", ended=self._watch_ended
            )
            self._watches.add(watch)
        return watch

    def _watch_ended(self, watch: RangeWatch) -> None:
        with self._lock:
            self._watches.discard(watch)

    def close(self) -> None:
        """Revoke the lease, and all keys on it; end the watches: in about a second at most. Idempotent."""
        if self._guard.forked:
            return
        with self._lock:
            self._closed = True
            watches = list(self._watches)
        self._reachability.close()
        self._leased.close()
        self._reads.close()
        for watch in watches:
            watch.stop()
        self._watching.close()
        for watch in watches:
            watch.join(1.0)
        self._watching.join(0.5)

    def __repr__(self) -> str:
        return f"EtcdStore({str(self.url)!r})"


def _deadline(timeout: float | None) -> Deadline:
    checked = check_timeout(timeout)
    return Deadline.after(DEFAULT_TIMEOUT if checked is None else checked)
