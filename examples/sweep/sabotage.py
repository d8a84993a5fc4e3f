"""Sabotage: one worker is killed in the middle of the sweep, while it runs a task."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from examples.sweep.tracker import Attempt, Tracker
from iris_actor import ActorPool, WorkerPool


@dataclass(frozen=True, slots=True)
class Kill:
    """What was done to a worker.

    Attributes:
        victim: the attempt that it was running.
        at: when, on the tracker's clock.
    """

    victim: Attempt
    at: float


def kill_a_worker(pool: WorkerPool, tracker: ActorPool[Tracker]) -> Kill | None:
    """SIGKILL a worker that is in the middle of a task; None when none is at the moment.

    The worker is stopped first, so that it cannot finish its task between the look and the kill.
    """
    ours = {info.pid for info in pool.status().worker_infos}
    for attempt in tracker.call(timeout=30).running():
        if attempt.pid not in ours or attempt.number > 1:
            continue
        os.kill(attempt.pid, signal.SIGSTOP)
        if attempt not in tracker.call(timeout=30).running():
            os.kill(attempt.pid, signal.SIGCONT)
            continue
        os.kill(attempt.pid, signal.SIGKILL)
        (lost,) = tracker.call(timeout=30).lost(attempt.pid)
        return Kill(lost, lost.ended or 0.0)
    return None
