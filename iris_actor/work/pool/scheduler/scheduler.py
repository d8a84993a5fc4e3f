"""Scheduler: all decisions of a pool, in one object without a thread, a lock or a clock.

::

    submit ─▶ TaskQueue ─▶ Feeding ──▶ Send          who gets which tasks
                  ▲           ▲
                  │           │ room
    loss, ────────┴──── Slot, WorkerLoad ◀── sent, finished, given_back, dropped
    Withdrawal                ▲
                              └── running, found, set_up, link_failed, ended, tick  (Lives, Sizing, Timeouts)

The caller holds the pool's lock, and carries the actions out after it has released the lock. Promises:

- A task that was submitted is settled once: by the caller of `finished`, `spoiled` or `batch_failed`, which
  return it; by a `Settle`; or as the `killer` of a `Lost`.
- A task is with one worker at a time. It is charged with the end of a worker only if it was running there,
  and then runs again at most `max_retries` times.
- Tasks that wait are begun in the order in which they were submitted, but for those that a worker died of.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Generic

from iris_actor.work.pool.scheduler.actions import GIVE_UP, WAKE_UP, Action, Send, Settle, Tell, Verdict
from iris_actor.work.pool.scheduler.crew import Crew
from iris_actor.work.pool.scheduler.feeding import Feeding
from iris_actor.work.pool.scheduler.lives import Lives
from iris_actor.work.pool.scheduler.rules import Rules
from iris_actor.work.pool.scheduler.scheduled_task import T
from iris_actor.work.pool.scheduler.sizing import Sizing
from iris_actor.work.pool.scheduler.slot import Slot, SlotState
from iris_actor.work.pool.scheduler.task_queue import FEED, NOTHING, TICK, Followup, TaskQueue
from iris_actor.work.pool.scheduler.timeouts import Seen, Timeouts
from iris_actor.work.pool.scheduler.withdrawal import Withdrawal
from iris_actor.work.pool.scheduler.worker_load import Recorded

LOOK = 0.05
"""Seconds between looks while something is likely to change without notice."""


class Scheduler(Generic[T]):
    """Decides for one pool. Not thread-safe: the caller has the pool's lock.

    Args:
        rules: by what it decides.
        bounds: the least and the most workers.

    Attributes:
        crew: its slots, to be looked at only.
        sizing: how many workers it aims at, to be looked at only.
        ending: whether the pool ends when no task is left. This and `killed` may be set without the lock.
        killed: whether the pool ends at once.
        broken: whether no task can be run any more.
        closed: whether nobody will run any more tasks, since the pool ends or is broken.
    """

    def __init__(self, rules: Rules, bounds: tuple[int, int]) -> None:
        self.crew: Crew[T] = Crew()
        self._queue: TaskQueue[T] = TaskQueue()
        self._feeding = Feeding(self.crew, self._queue, rules)
        self._withdrawal = Withdrawal(self.crew, self._feeding)
        self._timeouts = Timeouts(self.crew, rules)
        self.sizing = Sizing(self.crew, self._queue, bounds, rules.idle_timeout)
        self._lives = Lives(self.crew, self._feeding, self._withdrawal, self._timeouts, rules)
        self._rules = rules
        self._planned = math.inf  # when the engine's thread looks by itself
        self.ending = False
        self.killed = False
        self.broken = False
        self.closed = False

    # --- tasks ----------------------------------------------------------------------------------------

    def submit(self, task: T) -> Followup:
        """A new task. The pool must not be `closed`."""
        queue = self._queue
        # In this order nothing that Ctrl-C could interrupt stands between the two.
        queue.unsettled += 1
        queue.waiting.append(task)
        if self._feeding.with_room:
            return FEED
        return NOTHING if self.sizing.is_watching_queue else TICK

    def next_batch(self, now: float) -> Send[T] | None:
        """The next tasks for a worker; None when tasks or room have run out.

        Whoever gets a batch sends it, calls `sent`, and asks again.
        """
        return self._feeding.next_batch(now)

    @property
    def wants_tick(self) -> bool:
        """Whether a worker has nothing to do while tasks wait with another: `tick` takes some back."""
        return self._withdrawal.worthwhile

    def defines(self, process: int, batch: int) -> None:
        """The batch, which is about to be sent, carries definitions for the batches after it."""
        slot = self.crew.get(process)
        if slot is not None:
            slot.load.defining = batch

    def spoiled(self, process: int, seq: int) -> T | None:
        """A task of a batch cannot be sent: returns it, for the caller to settle, if it is still with the
        worker."""
        slot = self.crew.get(process)
        return None if slot is None else slot.load.recall(seq)

    def sent(self, process: int, unsent: Sequence[T], now: float, *, empty: bool = False) -> list[Action[T]]:
        """A batch is on its way, but for those of its tasks that found no place in it.

        Args:
            process: the worker's.
            unsent: those.
            now: the time.
            empty: whether there was nothing to send.
        """
        slot = self.crew.get(process)
        if slot is None:
            return []  # its tasks were given to others
        load = slot.load
        load.feeding = False
        if empty:
            load.batches -= 1
        back = [task for task in unsent if load.recall(task.seq) is not None]
        self._lives.note(slot)
        actions = self._put_back(back, to_head=True) if back else []
        # The engine's thread may have planned to sleep for longer than these tasks can be left alone.
        due = now + LOOK if load.has_waiting and self.crew.ready > 1 else math.inf
        due = min([due, *(now + task.timeout for task in load.outstanding.values() if task.timeout)])
        if slot.retiring or due < self._planned:
            self._planned = min(due, self._planned)
            actions.append(WAKE_UP)
        return actions

    def finished(
        self, process: int, batch: int, ends: Iterable[tuple[int, bool, float]], now: float, *, complete: bool
    ) -> list[T | None]:
        """A worker has answered.

        Args:
            process: the worker's.
            batch: whose tasks these are.
            ends: for each task its number, whether it ended with a value, and the seconds that it ran;
                negative when it did not run.
            now: the time.
            complete: whether no more of that batch will come.

        Returns:
            The tasks, in that order, for the caller to settle, or to `submit_again`; None for those that are
            over already.
        """
        slot = self.crew.get(process)
        if slot is None:
            return [None for _ in ends]
        load = slot.load
        load.answered(batch, complete=complete)
        tasks = []
        for seq, has_value, seconds in ends:
            load.finished += 1
            load.abandoned.pop(seq, None)
            task = load.take(seq)
            if task is not None:
                if has_value:
                    slot.done += 1
                else:
                    slot.failed += 1
                if seconds >= 0:
                    task.measured(seconds)
            tasks.append(task)
        slot.streak = 0
        load.moved_at = now
        load.has_nothing_to_give = False
        self._lives.note(slot)
        return tasks

    def batch_failed(self, process: int, batch: int, seqs: Iterable[int]) -> list[T]:
        """A batch did not get through, though its worker lives: its tasks, for the caller to settle."""
        slot = self.crew.get(process)
        if slot is None:
            return []
        load = slot.load
        load.answered(batch, complete=True)
        tasks = [task for seq in seqs if (task := load.take(seq)) is not None]
        self._lives.note(slot)
        return tasks

    def needs_tick(self, process: int) -> bool:
        """Whether what a worker has finished changes more than which tasks it gets next."""
        if self.ending and not self._queue.unsettled:
            return True
        slot = self.crew.get(process)
        if slot is None or slot.state is not SlotState.READY:
            return True
        return slot.retiring or self._feeding.may_take(slot) < 1

    def submit_again(self, task: T, seq: int) -> list[Action[T]]:
        """A task that `finished` returned did not run, and is to be run once more.

        Args:
            task: the task.
            seq: its number from now on. Flight recorders may still show the one before, and would have it
                charged with the end of a worker where it has not begun again.
        """
        task.seq = seq
        return self._put_back([task])

    def given_back(self, process: int, seqs: list[int]) -> list[Action[T]]:
        """A worker has answered an `AskBack` with the numbers of the tasks that it does not run."""
        slot = self.crew.get(process)
        if slot is None:
            return []
        tasks = self._withdrawal.given_back(slot, seqs)
        self._lives.note(slot)
        return self._put_back(tasks)

    def dropped(self, process: int, seq: int) -> list[Action[T]]:
        """A worker has given a task back that it was told to drop."""
        slot = self.crew.get(process)
        if slot is None:
            return []
        slot.load.abandoned.pop(seq, None)
        self._lives.note(slot)
        return [WAKE_UP]

    def cancel(self, task: T, now: float, *, kill: bool) -> list[Action[T]]:
        """The caller no longer wants a task that is past the queue; with `kill` it does not wait for it.

        Among the actions is a `Settle` if the task ends by this. None: it is over, or about to be.
        """
        task.unwanted = True
        for slot in self.crew.slots:
            if task.seq in slot.load.outstanding:
                tell: Action[T] = Tell(slot.process, task.seq, drop=kill)
                if not kill:
                    return [tell]
                slot.load.abandon(task.seq, now)
                self._lives.note(slot)
                return [tell, Settle(task, Verdict.CANCELLED, slot.process), WAKE_UP]
        if task not in self._queue.waiting:
            return []
        # It waits for another attempt: nobody runs it.
        self._queue.waiting.remove(task)
        return [Settle(task, Verdict.CANCELLED)]

    def settled(self, count: int = 1) -> None:
        """So many tasks are over, their callbacks included."""
        self._queue.unsettled -= count

    def waiting(self) -> list[T]:
        """Tasks that no worker has."""
        self._queue.drop_cancelled()
        return list(self._queue.waiting)

    def _put_back(self, tasks: list[T], *, to_head: bool = False) -> list[Action[T]]:
        """Tasks that a worker does not run (any more) go to the queue, or end.

        Args:
            tasks: the tasks.
            to_head: whether they go there in any case: no worker has had them.
        """
        if self.broken:
            return [Settle(task, Verdict.BROKEN) for task in tasks]
        actions: list[Action[T]] = [Settle(task, Verdict.CANCELLED) for task in tasks if task.unwanted]
        wanted = [task for task in tasks if not task.unwanted]
        if to_head:
            self._queue.waiting.extendleft(reversed(wanted))
        else:
            self._queue.put_back(wanted)
        return actions

    # --- workers --------------------------------------------------------------------------------------

    def running(self, process: int, now: float) -> None:
        """A process runs: from now on it has the start timeout to announce itself. Idempotent."""
        slot = self.crew.get(process)
        if slot is not None and slot.state is SlotState.STARTING and not slot.runs:
            slot.runs = True
            slot.due = now + self._rules.start_timeout

    def queued(self, process: int, now: float) -> None:
        """A process waits for the place where it runs, perhaps once more. Idempotent."""
        slot = self.crew.get(process)
        if slot is not None and slot.state is SlotState.STARTING and slot.runs:
            slot.runs = False
            slot.due = now + self._rules.queue_timeout

    def not_launched(self, processes: Iterable[int], now: float) -> list[Action[T]]:
        """Processes could not be started."""
        actions: list[Action[T]] = []
        for slot in self._slots_of(processes):
            self.crew.forget_process(slot)
            actions += self._lives.died(slot, now, explained=False, launched=False)
        return actions

    def found(self, process: int, now: float, *, initialize: bool) -> list[Action[T]]:
        """A worker has announced itself. With `initialize` it is set up first."""
        slot = self.crew.get(process)
        if slot is None or slot.state is not SlotState.STARTING:
            return []
        if initialize:
            slot.load.batches += 1
            self._lives.move(slot, SlotState.SETTING_UP)
            return []
        return [self._lives.ready(slot, now)]

    def set_up(self, process: int, now: float) -> list[Action[T]]:
        """The initializer of a worker has returned."""
        slot = self.crew.get(process)
        if slot is None or slot.state is not SlotState.SETTING_UP:
            return []
        slot.load.batches -= 1
        return [self._lives.ready(slot, now)]

    def link_failed(self, process: int, now: float) -> None:
        """A call of a worker's failed: it cannot be reached any more. `tick` decides what follows."""
        slot = self.crew.get(process)
        if slot is not None and slot.state is not SlotState.ENDING:
            slot.load.batches = 0
            self._lives.unreachable(slot, now)

    def ended(
        self, process: int, recorded: Recorded | None, now: float, *, is_blameless: bool = False
    ) -> None:
        """A process has ended. `tick` decides what follows. Idempotent.

        Args:
            process: its number.
            recorded: what its flight recorder said last; None where nobody knows.
            now: the time.
            is_blameless: whether its launcher's engine ended it: then nobody is charged with that.
        """
        slot = self.crew.get(process)
        if slot is None or slot.has_ended:
            return
        slot.has_ended = True
        slot.recorded = recorded
        slot.is_blameless = is_blameless
        if slot.state is not SlotState.ENDING:
            self._lives.ended(slot, now)

    def break_down(self) -> list[Action[T]]:
        """No task can be run any more: all end. Idempotent."""
        if self.broken:
            return []
        self.broken = self.closed = True
        actions: list[Action[T]] = []
        for task in self._queue.clear():
            if task.started or task.claim():
                task.started = True
                actions.append(Settle(task, Verdict.BROKEN))
            else:
                self._queue.unsettled -= 1
        for slot in self.crew.slots:
            load = slot.load
            actions += [Settle(task, Verdict.BROKEN, slot.process) for task in load.outstanding.values()]
            load.outstanding.clear()
            load.abandoned.clear()
            load.seconds = 0.0
            self._lives.note(slot)
        return [*actions, WAKE_UP]

    def resize(self, bounds: tuple[int, int]) -> None:
        """Aim at another number of workers, between the least and the most."""
        self.sizing.resize(bounds)

    # --- time -----------------------------------------------------------------------------------------

    def to_observe(self) -> list[int]:
        """Processes whose flight recorders the next `tick` depends on."""
        return [
            slot.process
            for slot in self.crew.slots
            if slot.state is SlotState.LOST or self._timeouts.concerns(slot)
        ]

    def tick(self, now: float, seen: Seen) -> list[Action[T]]:
        """Decide whatever is due.

        Args:
            now: the time.
            seen: what the recorders of `to_observe` said.
        """
        if self._should_end():
            return self._lives.end_all(now, kill=self.killed)
        actions: list[Action[T]] = []
        for slot, task in self._timeouts.expired(now, seen):
            self._lives.note(slot)
            actions.append(Tell(slot.process, task.seq, drop=True))
            actions.append(Settle(task, Verdict.TIMED_OUT, slot.process))
        for slot in self.sizing.fit(now):
            self._lives.retire(slot)
        actions += self._lives.start_due(now)
        for slot in list(self.crew.slots):
            more, back = self._lives.look(slot, now, seen)
            actions += more
            if back:
                actions += self._put_back(back)
        actions += self._withdrawal.ask(now)
        if self.crew.is_hopeless and not self.sizing.is_missing_some:
            actions.append(GIVE_UP)
        return actions

    def _should_end(self) -> bool:
        if self.ending:
            self._queue.drop_cancelled()
        self.closed = self.broken or (self.ending and not self._queue.unsettled)
        return self.closed

    def next_due(self, now: float, seen: Seen) -> float:
        """When to call `tick` again if nothing happens; infinite when only an event can change anything.

        Args:
            now: the time.
            seen: as in the last `tick`.
        """
        due = min((min(slot.due, slot.ask_at) for slot in self.crew.slots), default=math.inf)
        due = min(due, self._timeouts.next_due(now, seen), self.sizing.next_due(now))
        if self.ending or self.closed or self._withdrawal.needed:
            due = min(due, now + LOOK)
        self._planned = due
        return due

    @property
    def is_over(self) -> bool:
        """Whether no worker is left, and none will come."""
        return self.closed and not self.crew.slots

    def _slots_of(self, processes: Iterable[int]) -> list[Slot[T]]:
        return [slot for process in processes if (slot := self.crew.get(process)) is not None]
