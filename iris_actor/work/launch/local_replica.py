"""Replica: a process that the local launcher has started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import suppress

from iris_actor.work.launch.launcher import ReplicaState, ReplicaStatus
from iris_actor.work.launch.output_pump import Output
from iris_actor.work.worker.flight_recorder import FlightRecorder, Recording


class Replica:
    """One process. Its fields are guarded by the launcher's lock.

    Attributes:
        process: as it was started.
        output: what it writes.
        recorder: its flight recorder; `recorded` is what that said when it ended.
        pidfd: becomes readable when it ends; None where the system has none.
        memory_limit: its limit in bytes.
        grace: seconds that it was given to end; `kill_at` is when they are over, on the monotonic clock.
        killed: whether it was killed for that.
        reason: what is known of its end, beyond exit code and signal.
        ended: whether it has ended and was reaped.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        output: Output,
        recorder: FlightRecorder,
        memory_limit: int | None,
    ) -> None:
        self.process = process
        self.output = output
        self.recorder = recorder
        self.recorded: Recording | None = None
        self.pidfd: int | None = None
        self.memory_limit = memory_limit
        self.grace = 0.0
        self.kill_at: float | None = None
        self.killed = False
        self.reason = ""
        self.ended = False

    @property
    def status(self) -> ReplicaStatus:
        """What the launcher tells of it."""
        pid, host = self.process.pid, socket.gethostname()
        if not self.ended:
            return ReplicaStatus(ReplicaState.RUNNING, host, pid)
        code = self.process.returncode
        if code >= 0:
            return ReplicaStatus(ReplicaState.ENDED, host, pid, exit_code=code, reason=self.reason)
        return ReplicaStatus(ReplicaState.ENDED, host, pid, signal=signal_name(-code), reason=self.reason)

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
