"""Sizing: how many workers a pool should have now, between its least and its most.

It grows as soon as tasks have waited for `PATIENCE` and there is more to do than the workers that there are
will have done in the time that it takes to start another. It shrinks by the workers that had nothing to do
for `idle_timeout`, never by one that has a task.
"""

from __future__ import annotations

import itertools
import math
from typing import Generic

from iris_actor.work.pool.scheduler.crew import Crew
from iris_actor.work.pool.scheduler.scheduled_task import T
from iris_actor.work.pool.scheduler.slot import Slot, SlotState
from iris_actor.work.pool.scheduler.task_queue import TaskQueue

PATIENCE = 0.1
"""Seconds that tasks wait before workers are started for them."""
START = 1.0
"""Seconds that starting a worker is worth: about what it takes, with its first imports. A task of which
nobody knows how long it takes counts as much."""
SAMPLE = 1000
"""Tasks of the queue that are looked at; there are no more of them than that many workers could take."""


class Sizing(Generic[T]):
    """Decides about the size of one pool.

    Args:
        crew: of the pool.
        queue: of the pool.
        bounds: the least and the most workers.
        idle_timeout: seconds without a task after which a worker may be ended.

    Attributes:
        target: how many workers the pool should have.
        bounds: the least and the most.
        is_watching_queue: whether another task in the queue changes nothing that `next_due` does not foresee.
    """

    def __init__(
        self, crew: Crew[T], queue: TaskQueue[T], bounds: tuple[int, int], idle_timeout: float
    ) -> None:
        self._crew = crew
        self._queue = queue
        self._idle_timeout = idle_timeout
        self._waiting_since: float | None = None
        self.bounds = bounds
        self.target = bounds[0]
        self.is_watching_queue = bounds[0] == bounds[1]

    def resize(self, bounds: tuple[int, int]) -> None:
        """Other bounds from now on."""
        self.bounds = bounds
        self.target = min(max(self.target, bounds[0]), bounds[1])
        self._note()

    def fit(self, now: float) -> list[Slot[T]]:
        """Add slots that are missing; returns those that are to retire, because they are too many."""
        leaving = self._look(now)
        self._note()
        staying = sorted((slot for slot in self._crew.staying if slot not in leaving), key=_worth)
        surplus = len(staying) - self.target
        if surplus < 0:
            self._crew.add(-surplus)
        return leaving + staying[: max(0, surplus)]

    def _note(self) -> None:
        self.is_watching_queue = self._waiting_since is not None or self.target == self.bounds[1]

    def _look(self, now: float) -> list[Slot[T]]:
        least, most = self.bounds
        waiting = len(self._queue.waiting)
        if not waiting:
            self._waiting_since = None
            return self._without_task_for_long(now, least)
        if self._waiting_since is None:
            self._waiting_since = now
        if self.target < most and (self.target == 0 or now - self._waiting_since >= PATIENCE):
            self.target = max(self.target, min(most, self._wanted(waiting)))
        return []

    def _wanted(self, waiting: int) -> int:
        tasks = itertools.islice(self._queue.waiting, SAMPLE)
        seconds = sum(START if task.expected == math.inf else task.expected for task in tasks)
        seconds *= waiting / min(waiting, SAMPLE)
        busy = sum(slot.load.is_busy for slot in self._crew.staying)
        return max(1, busy + min(waiting, int(seconds / START)))

    def _without_task_for_long(self, now: float, least: int) -> list[Slot[T]]:
        idle = [slot for slot in self._idle() if now - slot.load.moved_at >= self._idle_timeout]
        surplus = max(0, min(len(idle), self.target - least))
        self.target -= surplus
        # Rather than those that work, the ones go that nobody starts again.
        failed = [slot for slot in self._crew.staying if slot.state is SlotState.FAILED]
        return (failed + idle)[:surplus]

    @property
    def is_missing_some(self) -> bool:
        """Whether slots will be added."""
        return len(self._crew.staying) < self.target

    def _idle(self) -> list[Slot[T]]:
        """Those whose worker has no task, the highest numbers first."""
        return sorted(
            (
                slot
                for slot in self._crew.staying
                if slot.state is SlotState.READY and not (slot.load.is_busy or slot.load.feeding)
            ),
            key=lambda slot: -slot.index,
        )

    def next_due(self, now: float) -> float:
        """When to look again; infinite when nothing will change by itself."""
        least, most = self.bounds
        if self._waiting_since is not None and self.target < most:
            return now + PATIENCE
        if self.target > least:
            return min((slot.load.moved_at + self._idle_timeout for slot in self._idle()), default=math.inf)
        return math.inf


def _worth(slot: Slot[T]) -> tuple[bool, bool, int, int]:
    """Sorts slots that may go before those that should stay."""
    return (
        slot.state is not SlotState.FAILED,
        slot.state is SlotState.READY,
        len(slot.load.outstanding),
        -slot.index,
    )
