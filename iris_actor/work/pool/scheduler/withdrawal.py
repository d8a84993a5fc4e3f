"""Withdrawal: which workers are asked for the tasks that wait there behind a slow one."""

from __future__ import annotations

from typing import Generic

from iris_actor.work.pool.scheduler.actions import AskBack
from iris_actor.work.pool.scheduler.crew import Crew
from iris_actor.work.pool.scheduler.feeding import Feeding
from iris_actor.work.pool.scheduler.scheduled_task import T
from iris_actor.work.pool.scheduler.slot import Slot, SlotState

STUCK = 0.05
"""Seconds without progress after which tasks that wait with a worker are taken back, if the one that it runs
was not expected to take as long."""
OVERRUN = 3
"""How many times as long as expected that one may take."""
WORTH = 0.01
"""Seconds of work that a worker must have before some of it is given to one that has none."""


class Withdrawal(Generic[T]):
    """Takes tasks of one pool back."""

    def __init__(self, crew: Crew[T], feeding: Feeding[T]) -> None:
        self._crew = crew
        self._feeding = feeding
        self._sources: dict[Slot[T], None] = {}

    def update(self, slot: Slot[T]) -> None:
        """Note whether `slot` has what a worker with nothing to do could take. After each change of it."""
        self._sources.pop(slot, None)
        load = slot.load
        if load.has_waiting and (load.abandoned or load.seconds > WORTH):
            self._sources[slot] = None

    @property
    def needed(self) -> bool:
        """Whether tasks wait with a worker that may be stuck: then somebody looks at short intervals."""
        return self._crew.ready > 1 and any(slot.load.has_waiting for slot in self._crew.slots)

    @property
    def worthwhile(self) -> bool:
        """Whether a worker has nothing to do while tasks wait with another."""
        return self._feeding.has_idle_worker and any(self._may_be_asked(slot, 0.0) for slot in self._sources)

    def _may_be_asked(self, slot: Slot[T], now: float) -> bool:
        load = slot.load
        if slot.state is not SlotState.READY or load.withdrawing or load.feeding:
            return False
        if not load.outstanding or not load.has_waiting or load.has_nothing_to_give:
            return False
        running = next(iter(load.outstanding.values()))
        stuck = now - load.moved_at > max(STUCK, OVERRUN * running.cost)
        return bool(load.abandoned) or stuck or (load.seconds > WORTH and self._feeding.has_idle_worker)

    def ask(self, now: float) -> list[AskBack]:
        """Ask workers that are stuck for what waits there."""
        if not self.needed:
            return []
        asked = []
        for slot in self._crew.slots:
            if self._may_be_asked(slot, now):
                slot.load.withdrawing = True
                self._feeding.update(slot)
                asked.append(AskBack(slot.process))
        return asked

    @staticmethod
    def given_back(slot: Slot[T], seqs: list[int]) -> list[T]:
        """The worker of `slot` does not run these tasks; returns those that somebody waits for."""
        load = slot.load
        load.withdrawing = False
        load.has_nothing_to_give = not seqs
        taken = [task for seq in seqs if (task := load.recall(seq)) is not None]
        if load.outstanding:
            # The one that it runs takes longer than anyone expected: it gets nothing beside it.
            load.seconds = max(load.seconds, STUCK)
        return sorted(taken, key=lambda task: task.seq)
