"""TaskWithdrawal: takes tasks back that wait with a worker behind one that takes longer than expected."""

from __future__ import annotations

import time
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from iris_actor.work.pool.worker_slot import SlotState, WorkerSlot

if TYPE_CHECKING:
    from iris_actor.work.pool.dispatcher import Dispatcher
    from iris_actor.work.pool.worker_link import WorkerLink

STUCK = 0.05
"""Seconds without progress after which tasks that wait with a worker are taken back, if the one that it runs
was not expected to take as long."""
OVERRUN = 3
"""How many times as long as expected that one may take."""
WORTH = 0.01
"""Seconds of work that a worker must have before some of it is given to one that has none."""


class TaskWithdrawal:
    """Takes tasks of one pool back. For the keeper's thread, with replies in that of done callbacks.

    Attributes:
        watched: whether the keeper knows that tasks wait with a worker; it looks at short intervals then.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._lock = dispatcher.lock
        self._laden: dict[WorkerSlot, None] = {}
        self.watched = False

    def update(self, slot: WorkerSlot) -> None:
        """Note whether `slot` has what a worker with nothing to do could take. Call with the lock."""
        self._laden.pop(slot, None)
        if self._waiting(slot) and (slot.abandoned or slot.load > WORTH):
            self._laden[slot] = None

    @property
    def needed(self) -> bool:
        """Whether tasks wait with a worker that may be stuck. Call with the lock."""
        slots = self._dispatcher.slots
        return self._dispatcher.ready > 1 and any(self._waiting(slot) for slot in slots)

    @staticmethod
    def _waiting(slot: WorkerSlot) -> bool:
        return len(slot.outstanding) + len(slot.abandoned) > 1

    def worthwhile(self) -> bool:
        """Whether a worker has nothing to do while tasks wait with another. Call with the lock."""
        return self._dispatcher.bored and any(self._may_be_asked(slot, 0.0) for slot in self._laden)

    def _may_be_asked(self, slot: WorkerSlot, now: float) -> bool:
        if slot.state is not SlotState.READY or slot.withdrawing or slot.feeding or slot.link is None:
            return False
        if not slot.outstanding or not self._waiting(slot):
            return False
        running = next(iter(slot.outstanding.values()))
        stuck = now - slot.moved_at > max(STUCK, OVERRUN * running.cost)
        return bool(slot.abandoned) or stuck or (slot.load > WORTH and self._dispatcher.bored)

    def look(self) -> None:
        """Ask workers that are stuck for what waits there."""
        now = time.monotonic()
        asked = []
        with self._lock:
            if not self.needed:
                return
            for slot in self._dispatcher.slots:
                if self._may_be_asked(slot, now) and slot.link is not None:
                    slot.withdrawing = True
                    self._dispatcher.update(slot)
                    asked.append((slot, slot.link))
        for slot, link in asked:
            link.withdraw(partial(self._on_withdrawn, slot, link))

    def _on_withdrawn(self, slot: WorkerSlot, link: WorkerLink, call: Future[Any]) -> None:
        dispatcher = self._dispatcher
        try:
            seqs = call.result()
        except BaseException as error:
            dispatcher.link_failed(link, error)
            return
        with self._lock:
            if slot.link is not link:
                return
            slot.withdrawing = False
            for seq in seqs:
                slot.abandoned.pop(seq, None)
            taken = [task for seq in seqs if (task := dispatcher.take_back(slot, seq)) is not None]
            if slot.outstanding:
                slot.load = max(slot.load, STUCK)  # longer than anyone expected, it gets nothing beside
            dispatcher.update(slot)
        dispatcher.queue.requeue(sorted(taken, key=lambda task: task.seq))
        dispatcher.pump()
