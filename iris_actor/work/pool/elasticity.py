"""Elasticity: how many workers a pool should have now, between its least and its most.

It grows as soon as tasks have waited for `PATIENCE` and there is more to do than the workers that there are
will have done in the time that it takes to start another. It shrinks by the workers that had nothing to do
for `idle_timeout`, never by one that has a task.
"""

from __future__ import annotations

import itertools
import math
import time

from iris_actor.work.pool.dispatcher import Dispatcher
from iris_actor.work.pool.worker_slot import SlotState, WorkerSlot

PATIENCE = 0.1
"""Seconds that tasks wait before workers are started for them."""
START = 1.0
"""Seconds that starting a worker is worth: about what it takes, with its first imports. A task of which
nobody knows how long it takes counts as much."""
SAMPLE = 1000
"""Tasks of the queue that are looked at; there are no more of them than that many workers could take."""


class Elasticity:
    """Decides about the size of one pool. Called by the keeper's thread, with the pool's lock.

    Args:
        dispatcher: of the pool.
        bounds: the least and the most workers.
        idle_timeout: seconds without a task after which a worker may be ended.

    Attributes:
        target: how many workers the pool should have.
        bounds: the least and the most.
    """

    def __init__(self, dispatcher: Dispatcher, bounds: tuple[int, int], idle_timeout: float) -> None:
        self._dispatcher = dispatcher
        self._idle_timeout = idle_timeout
        self._waiting_since: float | None = None
        self.bounds = bounds
        self.target = bounds[0]

    def resize(self, bounds: tuple[int, int]) -> None:
        """Other bounds from now on."""
        self.bounds = bounds
        self.target = min(max(self.target, bounds[0]), bounds[1])

    def fit(self) -> None:
        """Look, and mark workers that are too many as retiring, or add slots for those that are missing."""
        self.look()
        slots, target = self._dispatcher.slots, self.target
        staying = [slot for slot in slots if not slot.retiring and slot.state is not SlotState.GONE]
        surplus = len(staying) - target
        staying.sort(key=_worth)
        for slot in staying[: max(0, surplus)]:
            slot.retiring = True
            self._dispatcher.set_state(slot, slot.state)
        taken = {slot.index for slot in slots}
        free = [index for index in range(len(slots) + target) if index not in taken]
        slots.extend(WorkerSlot(index) for index in free[: max(0, -surplus)])

    def look(self) -> None:
        """Decide on `target`, and mark workers as retiring that had nothing to do for too long."""
        least, most = self.bounds
        now = time.monotonic()
        waiting = len(self._dispatcher.queue.waiting)
        if not waiting:
            self._waiting_since = None
            self._shrink(now, least)
            return
        if self._waiting_since is None:
            self._waiting_since = now
        if self.target < most and (self.target == 0 or now - self._waiting_since >= PATIENCE):
            self.target = max(self.target, min(most, self._wanted(waiting)))

    def _wanted(self, waiting: int) -> int:
        tasks = itertools.islice(self._dispatcher.queue.waiting, SAMPLE)
        seconds = sum(START if task.expected == math.inf else task.expected for task in tasks)
        seconds *= waiting / min(waiting, SAMPLE)
        staying = [slot for slot in self._dispatcher.slots if not slot.retiring]
        busy = sum(bool(slot.outstanding or slot.abandoned) for slot in staying)
        return max(1, busy + min(waiting, int(seconds / START)))

    def _shrink(self, now: float, least: int) -> None:
        for slot in self._idle():
            if self.target <= least:
                return
            if now - slot.moved_at >= self._idle_timeout:
                slot.retiring = True
                self._dispatcher.set_state(slot, slot.state)
                self.target -= 1

    def _idle(self) -> list[WorkerSlot]:
        """Workers without a task, those with the highest numbers first."""
        return sorted(
            (
                slot
                for slot in self._dispatcher.slots
                if slot.state is SlotState.READY
                and not (slot.outstanding or slot.abandoned or slot.retiring or slot.feeding)
            ),
            key=lambda slot: -slot.index,
        )

    def next_due(self) -> float | None:
        """When to look again, on the monotonic clock; also says whether the first task that waits shall wake.

        None when nothing will change by itself.
        """
        least, most = self.bounds
        waits = self._waiting_since is not None
        self._dispatcher.hungry = waits or self.target == most
        if waits and self.target < most:
            return time.monotonic() + PATIENCE
        if self.target > least:
            return min((slot.moved_at + self._idle_timeout for slot in self._idle()), default=None)
        return None


def _worth(slot: WorkerSlot) -> tuple[bool, bool, int, int]:
    """Sorts slots that may go before those that should stay."""
    return (
        slot.state is not SlotState.FAILED,
        slot.state is SlotState.READY,
        len(slot.outstanding),
        -slot.index,
    )
