"""Reaper: the thread that sees the replicas of a local launcher end, and ends those whose time is over.

::

    any thread ── start, cancel ──▶ replicas ──pidfd──▶ reaper thread ──▶ exit code, cause, leftovers
                                                             │
                                        SIGTERM at the time limit, SIGKILL when a grace is over
"""

from __future__ import annotations

import os
import selectors
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from iris_actor.unpatched import DefaultSelector
from iris_actor.work.launch.local.guardian_process import GuardianProcess
from iris_actor.work.launch.local.replica import Replica, signal_name
from iris_actor.work.launch.replica_status import Cause, ReplicaStatus
from iris_actor.work.process.flight_recorder import Recording
from iris_actor.work.process.memory_limit import EXHAUSTED, reason_of_end
from iris_actor.work.process.oom_watch import OomWatch

LIMIT_GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL for a replica whose time limit is over."""
_LAST_OUTPUT = 5.0
"""Seconds for which the driver's own stream may take nothing before the rest of an ended replica's output is
no longer waited for."""
_POLL = 0.05
"""Seconds between looks at processes that the system gives no pidfd for."""


class Reaper:
    """Sees to the replicas of one launcher, from their start to their end. Thread-safe.

    Args:
        guardian: kills what is left when this process is gone.
    """

    def __init__(self, guardian: GuardianProcess) -> None:
        self._guardian = guardian
        self._oom = OomWatch()
        self._lock = threading.Lock()  # guards all below, and every Replica
        self._live: dict[int, tuple[Replica, Callable[[], None]]] = {}
        self._fresh: list[Replica] = []
        self._closed = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        # Now and not with the first replica: that may come when the interpreter exits.
        self._thread = threading.Thread(target=self._run, name="iris-local-launcher", daemon=True)
        self._thread.start()

    def start(self, count: int, start: Callable[[int], Replica], on_end: Callable[[], None]) -> list[Replica]:
        """Start replicas, all or none.

        Args:
            count: how many.
            start: starts the replica of an index.
            on_end: called when one of them has ended, in the reaper's thread.

        Raises:
            OSError: one cannot be started; the others are ended.
            RuntimeError: the reaper is closed.
        """
        replicas: list[Replica] = []
        with self._lock:
            if self._closed:
                raise RuntimeError("the launcher is closed")
            try:
                for index in range(count):
                    replica = start(index)
                    replicas.append(replica)
                    pid = replica.process.pid
                    self._guardian.add(pid)
                    self._oom.watch(pid)
                    self._live[pid] = replica, on_end
                    self._fresh.append(replica)
            except OSError:
                self._ask(replicas, 0.0)
                raise
            finally:
                self._wake()
        return replicas

    def cancel(self, replicas: Iterable[Replica], grace: float) -> None:
        """Have replicas end: SIGTERM now, SIGKILL to their groups after `grace` seconds."""
        with self._lock:
            self._ask(replicas, grace)
        self._wake()

    @staticmethod
    def _ask(replicas: Iterable[Replica], grace: float) -> None:
        for replica in replicas:
            if not replica.ended:
                replica.ask_to_end(grace, Cause.CANCELLED)

    def statuses(self, replicas: Iterable[Replica]) -> tuple[ReplicaStatus, ...]:
        """Status of each."""
        self._oom.look()
        with self._lock:
            return tuple(replica.status for replica in replicas)

    def recorded(self, replica: Replica) -> Recording | None:
        """What a replica's flight recorder says."""
        with self._lock:
            return replica.recorded if replica.ended else replica.recorder.read()

    def close(self, grace: float, patience: float) -> tuple[str, ...]:
        """End all replicas and wait for that, for `grace` and `patience` seconds at most. Idempotent.

        Returns:
            Labels and pids of those that have not ended.
        """
        with self._lock:
            self._closed = True
            self._ask([replica for replica, _ in self._live.values()], grace)
        self._wake()
        self._thread.join(grace + patience)
        with self._lock:
            left = [f"{replica.label} (pid {pid})" for pid, (replica, _) in self._live.items()]
            if not self._thread.is_alive() and self._wake_read >= 0:
                os.close(self._wake_read)
                os.close(self._wake_write)
                self._wake_read = self._wake_write = -1
        return tuple(left)

    def _wake(self) -> None:
        with suppress(OSError):  # full: it is awake already; closed: nobody is there to wake
            os.write(self._wake_write, b".")

    # --- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        """Until the reaper is closed and all replicas have ended."""
        with DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            while True:
                with self._lock:
                    fresh, self._fresh = self._fresh, []
                    if self._closed and not self._live:
                        return
                    timeout = self._next_timeout()
                for replica in fresh:
                    if replica.pidfd is not None:
                        selector.register(replica.pidfd, selectors.EVENT_READ)
                if any(key.fd == self._wake_read for key, _ in selector.select(timeout)):
                    with suppress(OSError):
                        os.read(self._wake_read, 4096)
                for replica, on_end in self._collect():
                    self._finish(selector, replica, on_end)

    def _next_timeout(self) -> float | None:
        replicas = [replica for replica, _ in self._live.values()]
        if any(replica.pidfd is None for replica in replicas):
            return _POLL
        now = time.monotonic()
        # After a SIGKILL its end comes by itself; a look each second repeats it for what forked meanwhile.
        kills = [replica.kill_at for replica in replicas if replica.kill_at is not None]
        limits = [replica.limit_at for replica in replicas if replica.limit_at is not None]
        waits = [at - now if at > now else 1.0 for at in kills] + [max(0.0, at - now) for at in limits]
        return min(waits, default=None)

    def _collect(self) -> list[tuple[Replica, Callable[[], None]]]:
        """End those whose time is over, and say which have ended."""
        ended = []
        now = time.monotonic()
        with self._lock:
            for replica, on_end in self._live.values():
                if replica.is_over:
                    ended.append((replica, on_end))
                    continue
                if replica.limit_at is not None and replica.limit_at <= now:
                    replica.limit_at = None
                    replica.ask_to_end(LIMIT_GRACE, Cause.TIME_LIMIT)
                if replica.kill_at is not None and replica.kill_at <= now:
                    replica.killed = True
                    replica.signal_group(signal.SIGKILL)
        return ended

    def _finish(self, selector: selectors.BaseSelector, replica: Replica, on_end: Callable[[], None]) -> None:
        pid = replica.process.pid
        out_of_memory = self._oom.killed(pid) if replica.is_killed_by_others else ""
        # What the replica left in its group goes with it; then its last output can come to an end.
        replica.signal_group(signal.SIGKILL)
        replica.output.wait_ended(_LAST_OUTPUT)
        with self._lock:
            replica.recorded = replica.recorder.read()
            replica.recorder.close()
            replica.process.wait()
            replica.cause, replica.reason = _why(replica, out_of_memory)
            replica.ended = True
            del self._live[pid]
            self._guardian.remove(pid)
        if replica.pidfd is not None:
            with suppress(KeyError):  # it ended before it was registered, and will not be
                selector.unregister(replica.pidfd)
            os.close(replica.pidfd)
            replica.pidfd = None
        self._oom.forget(pid)
        on_end()


def _why(replica: Replica, out_of_memory: str) -> tuple[Cause, str]:
    """Cause and reason of the end of a replica that was reaped."""
    code, asked = replica.process.returncode, replica.asked
    if out_of_memory:
        return Cause.OOM, out_of_memory
    if asked is not None:
        text = f"killed {replica.grace:g} s after it was asked to end"
        reason = text if replica.killed and code == -signal.SIGKILL and replica.grace else ""
        if asked is Cause.TIME_LIMIT:
            return asked, "its time limit was over" + (f", {reason}" if reason else "")
        return asked, reason
    if replica.memory_limit is not None:
        name = signal_name(-code) if code < 0 else None
        reason = reason_of_end(replica.memory_limit, code, name)
        if reason:
            return Cause.OOM if code == EXHAUSTED else Cause.OWN, reason
    never_began = replica.recorded is None or replica.recorded.seq == 0
    if code > 0 and never_began and not replica.output.last_words:
        return Cause.OWN, f"{replica.program} wrote nothing to stderr"
    return Cause.OWN, ""
