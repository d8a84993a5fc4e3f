"""Rules: the settings of a pool by which its scheduler decides."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from iris_actor.work.pool.scheduler.actions import EndReason

UNWIND = 1.0
"""Seconds between SIGTERM, which raises SystemExit in a task that does not stop, and SIGKILL."""


@dataclass(frozen=True, slots=True)
class Rules:
    """By what a scheduler decides. All times are in seconds.

    Attributes:
        prefetch: whether a worker may hold tasks beside the one it runs: not unless somebody knows which of
            them killed it.
        sees_running: whether anybody sees which task a worker is at while it lives. If not, a task with a
            timeout has its worker to itself.
        max_tasks_per_worker: how many tasks a process runs before it is replaced; infinite for any number.
        cancel_grace: how long a task may go on after its timeout before its worker is ended.
        start_timeout: how long a process has until it announces itself, counted from when it runs; and the
            function and the arguments of a task with a timeout until they are rebuilt.
        queue_timeout: how long a process may wait for the place where it runs; infinite for any time.
        shutdown_grace: how long a worker that is not needed any more has to end on its own.
        end_timeout: how long after that its end is waited for.
        notice: how long the end of a process may be unknown. A worker that cannot be reached has as long to
            be found dead, before it is ended: to end it would hide of what it died.
        idle_timeout: how long a worker that is more than the least may have nothing to do.
        max_restarts: how often in a row a worker is replaced that died without a task to blame.
        restart_delay: how long to wait before such a restart, by how many came before it.
    """

    prefetch: bool = True
    sees_running: bool = True
    max_tasks_per_worker: float = math.inf
    cancel_grace: float = 2.0
    start_timeout: float = 60.0
    queue_timeout: float = math.inf
    shutdown_grace: float = 5.0
    end_timeout: float = 10.0
    notice: float = 0.0
    idle_timeout: float = 10.0
    max_restarts: int = 3
    restart_delay: Callable[[int], float] = lambda _attempt: 0.1

    def grace(self, reason: EndReason) -> float:
        """How long a process has to end on its own that is asked to end for that reason."""
        if reason is EndReason.RETIRED:
            return self.shutdown_grace
        return UNWIND if reason in {EndReason.STUCK, EndReason.UNREACHABLE} else 0.0
