"""Replica: a process that the local launcher has started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress

from iris_actor.work.launch.output.output_pump import Output
from iris_actor.work.launch.replica_status import Cause, ReplicaState, ReplicaStatus
from iris_actor.work.process.flight_recorder import FlightRecorder, Recording


class Replica:
    """One process. Its fields are guarded by the reaper's lock.

    Args:
        label: its name in output and errors.
        process: as it was started.
        output: what it writes.
        recorder: its flight recorder.
        program: what it was started from.
        memory_limit: its limit in bytes; None for none.
        time_limit: seconds that it may run; None for any number.

    Attributes:
        recorded: what the recorder said when it ended.
        pidfd: becomes readable when it ends; None where the system has none.
        limit_at: when its time limit is over, on the monotonic clock; None without one.
        grace: seconds that it was given to end; `kill_at` is when they are over.
        asked: why it was asked to end, if it was while it ran: the first reason counts.
        killed: whether it was killed, since its grace was over.
        cause, reason: why it ended.
        ended: whether it has ended and was reaped.
    """

    def __init__(
        self,
        label: str,
        process: subprocess.Popen[bytes],
        output: Output,
        recorder: FlightRecorder,
        *,
        program: str,
        memory_limit: int | None,
        time_limit: float | None,
    ) -> None:
        self.label = label
        self.program = program
        self.process = process
        self.output = output
        self.recorder = recorder
        self.recorded: Recording | None = None
        self.pidfd: int | None = None
        self.memory_limit = memory_limit
        self.limit_at = None if time_limit is None else time.monotonic() + time_limit
        self.grace = 0.0
        self.kill_at: float | None = None
        self.asked: Cause | None = None
        self.killed = False
        self.cause = Cause.UNKNOWN
        self.reason = ""
        self.ended = False
        with suppress(AttributeError, OSError):
            self.pidfd = os.pidfd_open(process.pid)

    @property
    def status(self) -> ReplicaStatus:
        """What the launcher tells of it."""
        pid, host = self.process.pid, socket.gethostname()
        if not self.ended:
            return ReplicaStatus(ReplicaState.RUNNING, host, pid)
        code = self.process.returncode
        return ReplicaStatus(
            ReplicaState.ENDED,
            host,
            pid,
            exit_code=code if code >= 0 else None,
            signal=signal_name(-code) if code < 0 else None,
            cause=self.cause,
            reason=self.reason,
        )

    @property
    def is_over(self) -> bool:
        """Whether the process has ended; it is left to be reaped."""
        try:
            return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # somebody else reaped it
            return True

    @property
    def is_killed_by_others(self) -> bool:
        """Whether it has ended by a SIGKILL that was not the launcher's."""
        with suppress(ChildProcessError):
            end = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if end is not None and end.si_code == os.CLD_KILLED and end.si_status == signal.SIGKILL:
                return not self.killed
        return False

    def ask_to_end(self, grace: float, cause: Cause) -> None:
        """SIGTERM now, SIGKILL when `grace` seconds are over; a shorter grace than before takes effect."""
        if self.is_over:
            return  # the cause is another one
        self.asked = self.asked or cause
        kill_at = time.monotonic() + grace
        if self.kill_at is None and grace > 0:
            self.signal_group(signal.SIGTERM)
        if self.kill_at is None or kill_at < self.kill_at:
            self.kill_at, self.grace = kill_at, grace

    def signal_group(self, number: int) -> None:
        """Send a signal to its process group."""
        # Until it is reaped, the leader keeps its number from being given to another group.
        if not self.ended:
            with suppress(OSError):
                os.killpg(self.process.pid, number)


def signal_name(number: int) -> str:
    """What people call the signal of that number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
