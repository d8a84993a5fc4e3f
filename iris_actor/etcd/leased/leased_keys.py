"""LeasedKeys: the lease of this process, and the keys that live on it.

::

    put ────┐                                        ┌─ grant a lease, keep it alive
    remove ─┼─▶ LeasePlan ──▶ one thread ──▶ etcd ───┼─ put what is wanted and not there
    close ──┘   (a lock)  ◀── (LeaseCalls)           └─ delete what is not wanted
                     what came of it

Callers change what is wished and wait, bounded, for that to be so. The thread asks the plan what to do, does
it without the lock, and tells the plan what came of it.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from functools import partial

from iris_actor.deadline import Deadline
from iris_actor.errors import RegistryError, RegistryUnavailableError
from iris_actor.etcd.connection.reachability import Reachability
from iris_actor.etcd.errors import KeyTakenError
from iris_actor.etcd.leased.actions import (
    Delete,
    End,
    Grant,
    KeepAlive,
    Look,
    Mark,
    PutFree,
    PutOwn,
    Request,
    Revoke,
    Wait,
)
from iris_actor.etcd.leased.calls import LeaseCalls
from iris_actor.etcd.leased.key import KeyState, LeasedKey
from iris_actor.etcd.leased.log import tell
from iris_actor.etcd.leased.plan import LeasePlan
from iris_actor.etcd.url import EtcdURL

_log = logging.getLogger(__name__)

REMOVE_TIMEOUT = 0.5
"""Seconds that removing waits for etcd by default."""


class LeasedKeys:
    """Thread-safe. Starts its thread with the first key.

    Args:
        url: of the etcd.
        reachability: of the etcd.

    Raises:
        InvalidURLError: (a ValueError) when a file that `url` names cannot be read.
    """

    def __init__(self, url: EtcdURL, reachability: Reachability) -> None:
        self._url = url
        self._reachability = reachability
        self._calls = LeaseCalls(url, reachability)
        self._changed = threading.Condition()  # guards all that follows, fields of keys included
        self._plan = LeasePlan(url.ttl)
        self._closing = False
        self._silent = False  # a caller has waited in vain since etcd last answered
        self._thread: threading.Thread | None = None

    # --- callers ------------------------------------------------------------------------------------

    def put(self, leased: LeasedKey, deadline: Deadline, *, wait_for_turn: bool = False) -> None:
        """Return once `leased` stands. From then on it is put back whenever it is lost, until it is removed.

        Args:
            leased: a new one. The key must not exist, unless with the value that `leased` may replace.
            deadline: when to give up; the key is then removed again.
            wait_for_turn: wait until `deadline` for the process that holds the key to let it go. It is looked
                for once a second.

        Raises:
            ValueError: `leased` was put before.
            RegistryUnavailableError: etcd did not answer in time.
            KeyTakenError: another process holds the key.
            RegistryError: etcd refused; this process has the key already; or this is closed.
        """
        if leased.state is not KeyState.WANTED:
            raise ValueError(f"a leased key is put once, so make a new one instead of {leased!r}")
        with self._changed:
            if self._closing:
                raise self._closed_error()
            if not self._plan.want(leased):
                raise RegistryError(f"registry {self._url}: {leased.key.decode(errors='replace')} is taken")
            self._start()
            self._changed.notify_all()
            try:
                self._changed.wait_for(
                    lambda: leased.state is not KeyState.WANTED or _final(leased.error, wait_for_turn),
                    deadline.timeout,
                )
            finally:
                stood = leased.state is not KeyState.WANTED
                if not stood:
                    self._plan.leave(leased)
                    self._changed.notify_all()
            if self._closing:
                raise self._closed_error()
            if stood:
                return
            error = leased.error or self._plan.error or self._reachability.trouble
        # An error of one's own: the one that was kept may be raised by others, too.
        if isinstance(error, RegistryUnavailableError):
            raise RegistryUnavailableError(str(self._url), error.reason, error.since)
        if isinstance(error, KeyTakenError):
            raise KeyTakenError(error.url, error.key)
        if error is not None:
            raise RegistryError(str(error))
        raise RegistryUnavailableError(str(self._url), "no answer in time")

    def remove(self, leased: LeasedKey, timeout: float | None = None) -> None:
        """Delete `leased` if it is still our own. Idempotent.

        Args:
            leased: what to delete.
            timeout: seconds to wait for etcd, 0.5 when None. What is not done by then is done later, or by
                the end of the lease.
        """
        with self._changed:
            self._plan.leave(leased)
            self._changed.notify_all()
            # One wait finds out that etcd is silent: who removes many keys pays it once.
            if timeout is None:
                timeout = 0.0 if self._silent else REMOVE_TIMEOUT
            if not self._changed.wait_for(lambda: leased.state is KeyState.GONE, timeout):
                self._silent = True

    def close(self) -> None:
        """Revoke the lease with all that is on it, and end the thread: in less than a second. Idempotent."""
        with self._changed:
            self._closing = True
            self._plan.close()
            thread = self._thread
            patience = 0.6 if self._plan.lease and not self._silent else 0.1
            self._changed.notify_all()
        if thread is not None:
            thread.join(patience)
        self._calls.close()
        if thread is not None:
            thread.join(0.3)

    def _closed_error(self) -> RegistryError:
        return RegistryError(f"registry {self._url} is closed")

    # --- the thread ---------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="iris-lease", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (request := self._next()) is not None:
            try:
                self._answered(self._ask(request))
            except RegistryError as error:
                self._failed(request, error)
            except Exception as error:
                _log.exception("keeping keys in etcd failed, and goes on")
                self._failed(request, RegistryError(f"registry {self._url}: {type(error).__name__}: {error}"))

    def _next(self) -> Request | None:
        """Wait until there is something to do; None at the end."""
        with self._changed:
            while True:
                now = time.monotonic()
                action = self._plan.next(now)
                if isinstance(action, End):
                    return None
                if not isinstance(action, Wait):
                    return action
                self._changed.wait(None if action.until == math.inf else action.until - now)

    def _ask(self, request: Request) -> Callable[[], None]:
        """Ask etcd for `request`; returns what tells the plan of the answer."""
        calls, plan, sent = self._calls, self._plan, time.monotonic()
        match request:
            case Grant():
                lease, ttl = calls.grant()
                return partial(plan.granted, lease, ttl, sent)
            case Mark():
                calls.mark()
                return plan.marked
            case KeepAlive(lease):
                return partial(plan.kept_alive, calls.keep_alive(lease), sent)
            case Look(lease):
                return partial(plan.looked, calls.keys_on(lease))
            case PutFree(keys):
                return partial(plan.put if calls.put_free(request) else plan.not_free, keys)
            case PutOwn(leased):
                calls.put_own(request)
                return partial(plan.put, [leased])
            case Delete(leased, lease):
                calls.delete(leased, lease)
                return lambda: plan.deleted(leased, time.monotonic())
            case Revoke(lease, timeout):
                calls.revoke(lease, timeout)
                return lambda: None

    def _answered(self, tell_plan: Callable[[], None]) -> None:
        with self._changed:
            self._silent = False
            tell_plan()
            news = self._plan.take_news()
            self._changed.notify_all()
        tell(self._url, news)

    def _failed(self, request: Request, error: RegistryError) -> None:
        if isinstance(request, Revoke):
            _log.info("could not revoke the lease; it ends within %s s: %s", self._url.ttl, error)
            return
        with self._changed:
            self._plan.failed(request, error, time.monotonic())
            news = self._plan.take_news()
            self._changed.notify_all()
        tell(self._url, news)


def _final(error: Exception | None, wait_for_turn: bool) -> bool:
    return error is not None and not (wait_for_turn and isinstance(error, KeyTakenError))
