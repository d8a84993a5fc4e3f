"""Lives: the workers of a pool, from their start to their end."""

from __future__ import annotations

import math
from typing import Generic

from iris_actor.work.pool.scheduler.actions import (
    WAKE_UP,
    Action,
    End,
    EndReason,
    Lost,
    Ready,
    Removed,
    Start,
)
from iris_actor.work.pool.scheduler.crew import Crew
from iris_actor.work.pool.scheduler.feeding import Feeding
from iris_actor.work.pool.scheduler.rules import Rules
from iris_actor.work.pool.scheduler.scheduled_task import T
from iris_actor.work.pool.scheduler.slot import HAS_PROCESS, Slot, SlotState
from iris_actor.work.pool.scheduler.timeouts import Seen, Timeouts
from iris_actor.work.pool.scheduler.withdrawal import Withdrawal
from iris_actor.work.pool.scheduler.worker_load import Recorded, WorkerLoad

SETTLE = 0.5
"""Seconds that replies of a worker whose process has ended may still take to arrive."""
LOST = 10.0
"""Seconds after which a worker that cannot be reached, and was asked to end, is given up, though its launcher
says that it runs."""


class Lives(Generic[T]):
    """Moves the slots of one pool through their states."""

    def __init__(
        self,
        crew: Crew[T],
        feeding: Feeding[T],
        withdrawal: Withdrawal[T],
        timeouts: Timeouts[T],
        rules: Rules,
    ) -> None:
        self._crew = crew
        self._feeding = feeding
        self._withdrawal = withdrawal
        self._timeouts = timeouts
        self._rules = rules

    def note(self, slot: Slot[T]) -> None:
        """Something about `slot` has changed."""
        self._feeding.update(slot)
        self._withdrawal.update(slot)

    def move(self, slot: Slot[T], state: SlotState, due: float = math.inf) -> None:
        """`slot` is in another state, until `due` at most."""
        slot.state = state
        slot.due = due
        slot.ask_at = math.inf
        self._crew.count()
        self.note(slot)

    def retire(self, slot: Slot[T]) -> None:
        """`slot` gets no more tasks, and ends when it has none."""
        slot.retiring = True
        self._crew.count()
        self.note(slot)

    # --- starting -------------------------------------------------------------------------------------

    def start_due(self, now: float) -> list[Start]:
        """Start processes for the slots that wait for one."""
        due = [
            slot
            for slot in self._crew.slots
            if slot.state is SlotState.WAITING and slot.due <= now and not slot.retiring
        ]
        due.sort(key=lambda slot: slot.index)
        starts = []
        while due:
            # Those with neighbouring numbers are one launch: one array job on a cluster.
            group = [due.pop(0)]
            while due and due[0].index == group[-1].index + 1:
                group.append(due.pop(0))
            for slot in group:
                self._crew.begin(slot, now + self._rules.queue_timeout)
                self.note(slot)
            starts.append(Start(group[0].index, tuple(slot.process for slot in group)))
        return starts

    def ready(self, slot: Slot[T], now: float) -> Ready:
        """The worker of `slot` takes tasks."""
        slot.was_ready = True
        slot.load.moved_at = now
        self.move(slot, SlotState.READY)
        return Ready(slot.process)

    # --- looking --------------------------------------------------------------------------------------

    def look(self, slot: Slot[T], now: float, seen: Seen) -> tuple[list[Action[T]], list[T]]:
        """Move `slot` on, if it is time. Returns actions, and tasks that are to go back to the queue."""
        state = slot.state
        if state in {SlotState.WAITING, SlotState.FAILED}:
            return ([self._remove(slot)] if slot.retiring else []), []
        if state is SlotState.ENDING:
            return ([self._remove(slot)] if slot.has_ended or slot.due <= now else []), []
        if state is SlotState.LOST:
            return self._look_at_lost(slot, now, seen)
        if self._timeouts.overdue(slot, now, seen):
            slot.load.condemned = True
            return [End(slot.process, EndReason.STUCK)], []
        if slot.retiring or self._is_spent(slot):
            return self._retire(slot, now), []
        if state is SlotState.STARTING and slot.due <= now:
            end = End(slot.process, EndReason.LATE)
            self._crew.forget_process(slot)
            return [end, *self.died(slot, now, explained=False, late=True)], []
        return [], []

    def _is_spent(self, slot: Slot[T]) -> bool:
        """Whether its process has run as many tasks as one may."""
        return (
            slot.state is SlotState.READY and self._feeding.may_take(slot) < 1 and not slot.load.outstanding
        )

    def _retire(self, slot: Slot[T], now: float) -> list[Action[T]]:
        if not slot.retiring:
            self.retire(slot)
        if slot.load.is_busy or slot.load.feeding:
            return []
        return [self.end(slot, EndReason.RETIRED, now), WAKE_UP]  # for another one in its place

    # --- loss -----------------------------------------------------------------------------------------

    def unreachable(self, slot: Slot[T], now: float) -> None:
        """The worker of `slot` cannot be reached. It may have ended."""
        if slot.state is not SlotState.LOST:
            ask_at = now + self._rules.notice
            self.move(slot, SlotState.LOST, ask_at + LOST)
            slot.ask_at = ask_at

    def ended(self, slot: Slot[T], now: float) -> None:
        """The process of `slot` has ended."""
        slot.ask_at = math.inf
        due = now + SETTLE
        if slot.state is SlotState.LOST:
            slot.due = min(slot.due, due)
        else:
            self.move(slot, SlotState.LOST, due)

    def _look_at_lost(self, slot: Slot[T], now: float, seen: Seen) -> tuple[list[Action[T]], list[T]]:
        overdue = slot.due <= now
        if slot.has_ended:
            if slot.load.batches > 0 and not overdue:
                return [], []
            return self._bury(slot, slot.recorded, now)
        if overdue:
            return self._bury(slot, seen.get(slot.process), now)
        if slot.ask_at > now:
            return [], []
        # Nobody will ever learn what it does: make sure that it ends.
        slot.ask_at = math.inf
        return [End(slot.process, EndReason.UNREACHABLE)], []

    def _bury(self, slot: Slot[T], recorded: Recorded | None, now: float) -> tuple[list[Action[T]], list[T]]:
        """Fill the slot of a lost worker anew. The task that ran there is charged, the others are not.

        Nobody is charged with an end that is the engine's doing.
        """
        load, slot.load = slot.load, WorkerLoad()
        self._crew.forget_process(slot)
        explained = bool(load.abandoned) if recorded is None else recorded.seq in load.abandoned
        killer = None
        running = load.running(recorded)
        # A task that must not start twice ends with its worker, whoever ended that.
        if running is not None and not (slot.is_blameless and running.task.max_retries):
            explained = True
            task = running.task
            task.deaths += 1
            if task.deaths > task.max_retries:
                killer = load.take(task.seq)
        return self.died(slot, now, explained=explained, killer=killer), list(load.outstanding.values())

    def died(
        self,
        slot: Slot[T],
        now: float,
        *,
        explained: bool,
        killer: T | None = None,
        late: bool = False,
        launched: bool = True,
    ) -> list[Action[T]]:
        """The worker of `slot` is no more: start another, unless it died too often for no visible reason.

        Args:
            slot: the slot.
            now: the time.
            explained: whether a task is to blame, so that a new worker is not likely to end in the same way.
            killer: the task that ends with the worker.
            late: whether the worker was given up because it did not announce itself in time.
            launched: whether it could be started at all.
        """
        if not explained and not slot.is_blameless:
            slot.streak += 1
        delay = None
        given_up = False
        process = slot.process
        gone: list[Action[T]] = []
        if slot.retiring:
            gone = [self._remove(slot)]
        elif slot.streak > self._rules.max_restarts:
            self.move(slot, SlotState.FAILED)
            given_up = True
        else:
            slot.restarts += 1
            delay = 0.0 if explained else self._rules.restart_delay(max(0, slot.streak - 1))
            self.move(slot, SlotState.WAITING, now + delay)
        queued = late and not slot.runs
        lost = Lost(process, slot.was_ready, late, queued, launched, killer, delay, given_up, slot.streak)
        return [lost, *gone, WAKE_UP]

    # --- ending ---------------------------------------------------------------------------------------

    def end(self, slot: Slot[T], reason: EndReason, now: float) -> End:
        """Have the process of `slot` end, because it is not needed any more."""
        self.move(slot, SlotState.ENDING, now + self._rules.grace(reason) + self._rules.end_timeout)
        return End(slot.process, reason)

    def end_all(self, now: float, *, kill: bool) -> list[Action[T]]:
        """End those that run, and remove those that have ended."""
        actions: list[Action[T]] = []
        reason = EndReason.KILLED if kill else EndReason.RETIRED
        for slot in list(self._crew.slots):
            slot.retiring = True
            again = slot.state is SlotState.ENDING and kill and not slot.is_killed
            if slot.state in HAS_PROCESS or again:
                slot.is_killed = kill
                actions.append(self.end(slot, reason, now))
            if slot.state is not SlotState.ENDING or slot.has_ended or slot.due <= now:
                actions.append(self._remove(slot))
        return actions

    def _remove(self, slot: Slot[T]) -> Removed:
        slot.retiring = True
        self.note(slot)
        self._crew.remove(slot)
        left = slot.state is SlotState.ENDING and not slot.has_ended
        return Removed(slot.index, slot.process, left)
