"""Timeouts: which tasks have run for too long, and which workers run what nobody waits for.

The time of a task begins when its worker starts it: the flight recorder tells, whether or not the worker can
answer. While a worker has an abandoned task it gets no others, and those that wait there are taken back. If
the abandoned one still runs when its grace is over, the worker is ended and replaced.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Generic

from iris_actor.work.pool.scheduler.crew import Crew
from iris_actor.work.pool.scheduler.rules import Rules
from iris_actor.work.pool.scheduler.scheduled_task import T
from iris_actor.work.pool.scheduler.slot import Slot, SlotState
from iris_actor.work.pool.scheduler.worker_load import Recorded, Running

UNSURE = 0.05
"""Seconds until the next look at an abandoned task that neither runs nor is known to be over."""

Seen = Mapping[int, Recorded | None]
"""What flight recorders said, by process; None for a process that has none."""


class Timeouts(Generic[T]):
    """Sees to the timeouts of one pool's tasks."""

    def __init__(self, crew: Crew[T], rules: Rules) -> None:
        self._crew = crew
        self._rules = rules

    @staticmethod
    def concerns(slot: Slot[T]) -> bool:
        """Whether a look at the worker of `slot` depends on what its flight recorder says."""
        load = slot.load
        return bool(load.abandoned) or any(task.timeout is not None for task in load.outstanding.values())

    def expired(self, now: float, seen: Seen) -> list[tuple[Slot[T], T]]:
        """Tasks whose timeout has passed. They are abandoned by this."""
        found = [
            (slot, task)
            for slot in self._crew.slots
            if slot.process in seen
            for task, due in self._timed(slot, now, seen[slot.process])
            if due <= now
        ]
        for slot, task in found:
            slot.load.abandon(task.seq, now + self._rules.cancel_grace)
        return found

    def _timed(self, slot: Slot[T], now: float, recorded: Recorded | None) -> list[tuple[T, float]]:
        """Tasks of `slot` with a timeout, and when they are over it at the earliest."""
        timed = [task for task in slot.load.outstanding.values() if task.timeout is not None]
        if not timed:
            return []
        running = slot.load.running(recorded)
        return [(task, self._begin(task, running, now) + (task.timeout or 0.0)) for task in timed]

    def _begin(self, task: T, running: Running[T] | None, now: float) -> float:
        """When the time of `task` began, or will at the earliest."""
        if running is None or running.task is not task:
            return now
        # Imports are not the task's own time; but if they never end, neither would it.
        return running.since if running.begun else running.since + self._rules.start_timeout

    def next_due(self, now: float, seen: Seen) -> float:
        """When to look again; infinite when nothing will change by itself."""
        due = math.inf
        for slot in self._crew.slots:
            # Without a look at the recorder a task may begin this moment.
            recorded = seen.get(slot.process, _NothingYet)
            due = min([due, *(each for _, each in self._timed(slot, now, recorded))])
            if slot.state is SlotState.READY and not slot.load.condemned:
                due = min([due, *slot.load.abandoned.values()])
        return due

    def overdue(self, slot: Slot[T], now: float, seen: Seen) -> bool:
        """Whether the worker of `slot` is to be ended, because it runs what nobody waits for."""
        load = slot.load
        if load.condemned or slot.process not in seen:
            return False
        recorded = seen[slot.process]
        for seq, due in load.abandoned.items():
            if due > now:
                continue
            if recorded is None or recorded.seq == seq:
                return True
            load.abandoned[seq] = now + UNSURE
        return False


class _NothingYet:
    """What the recorder of a worker says that has not come to a task."""

    seq = 0
    since = 0.0
    begun = False
