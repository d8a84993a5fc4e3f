"""Feeding: which worker gets which tasks next.

A worker with nothing to do gets the next task at once. Short tasks travel in batches: about `BATCH` seconds
of work in one message, and a second message is on its way while the first is being worked on. Of longer
ones, up to `LONG`, a worker gets the next while it runs one, as long as enough of them wait for everybody.
Where that turns out wrong, because a task takes much longer than expected or another worker has nothing to
do, what waits with a worker is taken back (`Withdrawal`).
"""

from __future__ import annotations

import itertools
import math
from typing import Generic

from iris_actor.work.pool.scheduler.actions import Send
from iris_actor.work.pool.scheduler.crew import Crew
from iris_actor.work.pool.scheduler.rules import Rules
from iris_actor.work.pool.scheduler.scheduled_task import T
from iris_actor.work.pool.scheduler.slot import Slot, SlotState
from iris_actor.work.pool.scheduler.task_queue import TaskQueue

BATCH = 0.002
"""Seconds of expected work that travel in one message: enough to pay for it, too little to be waited for."""
TRIP = 0.0002
"""Seconds of expected work that are not divided among workers: the way to another one takes longer."""
LONG = 1.0
"""Seconds from which a task is not sent to a worker that is busy."""
MAX_BATCH = 256
COMPARED = 32
"""Busy workers that are compared before one of them gets a task: of a thousand, not all for every task."""


class Feeding(Generic[T]):
    """Gives queued tasks to workers that have room.

    Attributes:
        with_room: slots whose worker may get tasks now.
        idle: those of them whose worker has nothing to do.
    """

    def __init__(self, crew: Crew[T], queue: TaskQueue[T], rules: Rules) -> None:
        self._crew = crew
        self._queue = queue
        self._rules = rules
        self._batches = itertools.count(1)
        # Dicts, because they keep an order: who had room first gets tasks first.
        self.with_room: dict[Slot[T], None] = {}
        self.idle: dict[Slot[T], None] = {}

    def update(self, slot: Slot[T]) -> None:
        """Note whether the worker of `slot` has room. After each change of the slot."""
        self.with_room.pop(slot, None)
        self.idle.pop(slot, None)
        if self._has_room(slot):
            self.with_room[slot] = None
            if not slot.load.outstanding:
                self.idle[slot] = None

    def _has_room(self, slot: Slot[T]) -> bool:
        load = slot.load
        if slot.state is not SlotState.READY or load.feeding or slot.retiring:
            return False
        if load.abandoned or self.may_take(slot) < 1:
            return False
        if not load.outstanding:
            return True
        if not self._rules.prefetch or load.withdrawing or load.defining or load.batches > 1:
            return False
        return load.seconds < BATCH or (len(load.outstanding) == 1 and load.seconds < LONG)

    def may_take(self, slot: Slot[T]) -> float:
        """How many more tasks the process of `slot` may get."""
        load = slot.load
        return self._rules.max_tasks_per_worker - load.finished - len(load.outstanding)

    @property
    def has_idle_worker(self) -> bool:
        """Whether a worker has nothing to do, and nothing waits for it in the queue."""
        return not self._queue.waiting and bool(self.idle)

    def next_batch(self, now: float) -> Send[T] | None:
        """The next tasks for a worker; None when tasks or room have run out."""
        while self._queue.waiting and self.with_room:
            slot = self._least_loaded()
            tasks = self._assign(slot, now)
            if tasks:
                slot.load.feeding = True
                slot.load.batches += 1
                slot.load.has_nothing_to_give = False
                self.update(slot)
                return Send(slot.process, next(self._batches), tasks)
        return None

    def _least_loaded(self) -> Slot[T]:
        for slot in self.idle:
            return slot
        return min(itertools.islice(self.with_room, COMPARED), key=lambda slot: slot.load.seconds)

    def _assign(self, slot: Slot[T], now: float) -> list[T]:
        """Give `slot` a task, or several that are short: its share of the queue, if that is worth the way."""
        waiting = self._queue.waiting
        ready = self._crew.ready
        share = -(-len(waiting) // max(1, ready))
        most = min(MAX_BATCH, self.may_take(slot)) if self._rules.prefetch else 1
        blind = not self._rules.sees_running
        load = slot.load
        was_idle = not load.outstanding
        cost = 0.0
        tasks: list[T] = []
        while waiting and len(tasks) < most:
            task = waiting[0]
            # One that must not start twice travels alone. Beside others it might: when its worker dies,
            # nobody can tell a task that finished, but whose outcome was lost, from one that never started.
            # And of several, nobody sees when the one with a timeout began.
            alone = not task.max_retries or (blind and task.timeout is not None)
            expected = math.inf if alone else task.expected
            if len(tasks) >= share and cost + expected > TRIP:
                break
            next_in_line = not (tasks or was_idle) and expected < LONG and len(waiting) >= ready
            if (tasks or not was_idle) and cost + expected > BATCH and not next_in_line:
                break
            if self._queue.start_next():
                waiting.popleft()
                task.cost = expected
                cost += expected
                tasks.append(task)
                load.outstanding[task.seq] = task
        if was_idle:
            load.seconds = cost
            load.moved_at = now
        elif tasks:
            load.seconds += cost
        else:
            # What is next takes too long to wait with a worker that is busy.
            self.with_room.pop(slot)
        return tasks
