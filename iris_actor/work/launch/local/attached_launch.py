"""AttachedLaunch: processes of this machine that another process has started."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from iris_actor.work.launch.launcher import StreamName
from iris_actor.work.launch.local.process_ref import ProcessRef
from iris_actor.work.launch.replica_status import Cause, ReplicaState, ReplicaStatus
from iris_actor.work.process.flight_recorder import Recording

_LOOK = 0.05
"""Seconds between looks at a process that was asked to end."""


class AttachedLaunch:
    """Processes that are known by their pids alone: how they ended, only their parent learns. Thread-safe.

    Args:
        ref: of the launch.
        processes: what the ref names.
    """

    def __init__(self, ref: str, processes: Sequence[ProcessRef]) -> None:
        self._ref = ref
        self._processes = tuple(processes)

    @property
    def ref(self) -> str:
        """See `Launch`."""
        return self._ref

    def poll(self) -> tuple[ReplicaStatus, ...]:
        """See `Launch`."""
        return tuple(map(_status, self._processes))

    def cancel(self, replica: int | None = None, *, attempt: int | None = None, grace: float = 5.0) -> None:
        """See `Launch`."""
        if attempt not in {None, 0}:
            return
        for process in self._processes if replica is None else (self._processes[replica],):
            if not process.runs:
                continue
            if grace > 0:
                _signal_group(process, signal.SIGTERM)
            threading.Thread(
                target=_kill_after, args=(process, grace), name=f"iris-cancel-{process.pid}", daemon=True
            ).start()

    def logs(self, replica: int, stream: StreamName = "stderr", *, tail: int | None = None) -> str:  # noqa: ARG002
        """See `Launch`: what they write, only their parent gets."""
        return ""

    def recorded(self, replica: int) -> Recording | None:  # noqa: ARG002
        """See `Launch`."""
        return None


def _status(process: ProcessRef) -> ReplicaStatus:
    host = socket.gethostname()
    if process.runs:
        return ReplicaStatus(ReplicaState.RUNNING, host, process.pid)
    return ReplicaStatus(ReplicaState.ENDED, host, process.pid, cause=Cause.UNKNOWN)


def _signal_group(process: ProcessRef, number: int) -> None:
    with suppress(OSError):
        os.killpg(process.pid, number)


def _kill_after(process: ProcessRef, grace: float) -> None:
    end = time.monotonic() + grace
    while process.runs:
        if time.monotonic() >= end:
            _signal_group(process, signal.SIGKILL)
            return
        time.sleep(_LOOK)
