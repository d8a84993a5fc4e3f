"""Dispatcher: gives queued tasks to workers.

::

    submit() ── queue ──▶ pump(): pick under the lock, pickle and send outside it ──▶ worker
                            ▲                                                          │
    futures ◀── outcomes ── OutcomeReceiver, in the thread of done callbacks ◀─────────┘

Whoever makes room or work pumps, except the main thread, which has another one do it: Ctrl-C in the middle
would leave a worker waiting for ever for what it was promised. A worker with nothing to do gets the next task
at once. Short tasks travel in batches: about `BATCH` seconds of work in one message, and
a second message is on its way while the first is being worked on. Of longer ones, up to `LONG`, a worker
gets the next while it runs one, as long as enough of them wait for everybody. Where that turns out wrong,
because a task takes much longer than expected or another worker has nothing to do, what waits with a worker
is taken back (`TaskWithdrawal`).
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from iris_actor.program_exit import is_program_exit
from iris_actor.rpc.serial_thread import SerialThread
from iris_actor.work.pool.config import WorkerPoolConfig
from iris_actor.work.pool.driver_settings import current_settings
from iris_actor.work.pool.functions import Functions
from iris_actor.work.pool.outcome_receiver import OutcomeReceiver
from iris_actor.work.pool.shared import Shared
from iris_actor.work.pool.task import Task
from iris_actor.work.pool.task_future import TaskFuture
from iris_actor.work.pool.task_options import TaskOptions
from iris_actor.work.pool.task_queue import TaskQueue
from iris_actor.work.pool.task_stopper import TaskStopper
from iris_actor.work.pool.task_withdrawal import TaskWithdrawal
from iris_actor.work.pool.worker_link import WorkerLink
from iris_actor.work.pool.worker_slot import SlotState, WorkerSlot
from iris_actor.work.worker.task_wire import (
    FIRST_TASK,
    Definition,
    does_not_pickle,
    pack,
)

BATCH = 0.002
"""Seconds of expected work that travel in one message: enough to pay for it, too little to be waited for."""
TRIP = 0.0002
"""Seconds of expected work that are not divided among workers: the way to another one takes longer."""
LONG = 1.0
"""Seconds from which a task is not sent to a worker that is busy."""
MAX_BATCH = 256
BATCH_BYTES = 4 * 1024 * 1024
"""Bytes of arguments that a batch may have; a larger task travels alone."""
COMPARED = 32
"""Busy workers that are compared before one of them gets a task: of a thousand, not all for every task."""

_pumps = SerialThread("iris-dispatch")


class Dispatcher:
    """The queue of a pool and the tasks that are with its workers. Thread-safe.

    Args:
        config: of the pool.
        prefetch: whether a worker may hold tasks beside the one it runs: not unless somebody knows which of
            them killed it.
        wake: has the keeper look at workers that changed.

    Attributes:
        lock: guards this object, `queue`, and every slot.
        queue: tasks that no worker has.
        functions: what tasks call, and the objects that they share.
        stopper: ends tasks that workers have.
        withdrawal: takes back tasks that wait behind a slow one.
        wake: see above.
        ending: whether the keeper waits for the last task.
        hungry: whether the keeper knows that tasks wait for a worker; it sets this where it cares.
    """

    def __init__(self, config: WorkerPoolConfig, *, prefetch: bool, wake: Callable[[], None]) -> None:
        self.lock = threading.Lock()
        self.queue = TaskQueue(self.lock)
        self.slots: list[WorkerSlot] = []
        self.functions = Functions()
        self.wake = wake
        self.stopper = TaskStopper(self, config.cancel_grace, config.start_timeout)
        self.withdrawal = TaskWithdrawal(self)
        self._receiver = OutcomeReceiver(self, config.resources.memory)
        self.ending = False
        self.hungry = True
        self._config = config
        self._prefetch = prefetch
        self._roomy: dict[WorkerSlot, None] = {}
        self._idle: dict[WorkerSlot, None] = {}  # those of the roomy ones that have nothing to do
        self.ready = 0
        self._asked = False  # whether the thread for that is about to pump
        self._seqs = itertools.count(FIRST_TASK)
        self._batch_ids = itertools.count(1)

    def submit(
        self,
        fn: Callable[..., Any],
        args: Any,
        kwargs: Any,
        options: TaskOptions,
        *,
        spread: bool = False,
        weight: int = 1,
    ) -> TaskFuture[Any]:
        """Queue a call; `spread` and `weight` as in `Task`. A function that does not pickle fails its future.

        Raises:
            BrokenWorkerPool: the pool is broken.
        """
        config = self._config
        task = Task(
            next(self._seqs),
            fn,
            args,
            kwargs,
            canceller=self.stopper.cancel,
            timeout=config.task_timeout if options.timeout is None else options.timeout,
            max_retries=config.max_retries if options.max_retries is None else options.max_retries,
            spread=spread,
            weight=weight,
        )
        future = task.future
        try:
            task.function = self.functions.find(task.fn)
        except BaseException as error:
            if is_program_exit(error):
                raise
            self.queue.spoiled(task, does_not_pickle(error))
            return future
        self.queue.add(task)
        # Read after the insertion: whoever makes room later pumps, and sees the task.
        if self._roomy:
            if threading.current_thread() is threading.main_thread():
                self._ask_to_pump()
            else:
                self.pump()
        elif not self.hungry:
            self.hungry = True
            self.wake()
        return future

    # --- giving tasks to workers ----------------------------------------------------------------------

    def update(self, slot: WorkerSlot) -> None:
        """Note whether `slot` has room, or too much. Call with the lock, after each change of the slot."""
        self._roomy.pop(slot, None)
        self._idle.pop(slot, None)
        if self._has_room(slot):
            self._roomy[slot] = None
            if not slot.outstanding:
                self._idle[slot] = None
        self.withdrawal.update(slot)

    def set_state(self, slot: WorkerSlot, state: SlotState) -> None:
        """Move `slot` on. Call with the lock."""
        slot.state = state
        self.ready = sum(each.state is SlotState.READY and not each.retiring for each in self.slots)
        self.update(slot)

    def _has_room(self, slot: WorkerSlot) -> bool:
        if slot.state is not SlotState.READY or slot.feeding or slot.retiring or slot.link is None:
            return False
        if slot.abandoned or self.may_take(slot) < 1:
            return False
        if not slot.outstanding:
            return True
        if not self._prefetch or slot.withdrawing or slot.link.defining or slot.link.batches > 1:
            return False
        return slot.load < BATCH or (len(slot.outstanding) == 1 and slot.load < LONG)

    def may_take(self, slot: WorkerSlot) -> int:
        """How many more tasks the process of `slot` may get."""
        most = self._config.max_tasks_per_worker
        return MAX_BATCH if most is None else most - slot.finished - len(slot.outstanding)

    def is_spent(self, slot: WorkerSlot) -> bool:
        """Whether its process has run as many tasks as one may."""
        return slot.state is SlotState.READY and self.may_take(slot) < 1 and not slot.outstanding

    @property
    def bored(self) -> bool:
        """Whether a worker has nothing to do, and there is nothing for it. Call with the lock."""
        return not self.queue.waiting and bool(self._idle)

    def _ask_to_pump(self) -> None:
        if not self._asked:
            self._asked = True
            try:
                _pumps.run(self._pump_as_asked)
            except BaseException:  # Ctrl-C just here
                self._asked = False
                raise

    def _pump_as_asked(self) -> None:
        self._asked = False
        self.pump()

    def pump(self) -> None:
        """Give tasks to workers until one or the other runs out."""
        while True:
            with self.lock:
                picked = self._pick()
                bored = picked is None and self.withdrawal.worthwhile()
            if picked is None:
                if bored:
                    self.wake()
                return
            slot, link, tasks = picked
            try:
                unsent = self._send(slot, link, tasks)
            except BaseException as error:  # the link cannot take a call: the keeper sees to the worker
                unsent = []
                self.link_failed(link, error)
            with self.lock:
                slot.feeding = False
                unsent = [task for task in unsent if self.take_back(slot, task.seq) is not None]
                self.queue.waiting.extendleft(task for task in reversed(unsent) if not task.unwanted)
                self.update(slot)
            for task in unsent:
                if task.unwanted:
                    self.queue.withdraw(task)

    def take_back(self, slot: WorkerSlot, seq: int) -> Task | None:
        """The task, if it is still with `slot`; then no more. Call with the lock."""
        task = slot.outstanding.pop(seq, None)
        if task is not None:
            slot.load = max(0.0, slot.load - task.cost) if slot.outstanding else 0.0
        return task

    def _pick(self) -> tuple[WorkerSlot, WorkerLink, list[Task]] | None:
        while self.queue.waiting and self._roomy:
            slot = self._least_loaded()
            link = slot.link
            tasks = self._assign(slot)
            if tasks and link is not None:
                slot.feeding = True
                link.batches += 1
                self.update(slot)
                return slot, link, tasks
        return None

    def _least_loaded(self) -> WorkerSlot:
        for slot in self._idle:
            return slot
        return min(itertools.islice(self._roomy, COMPARED), key=lambda slot: slot.load)

    def _assign(self, slot: WorkerSlot) -> list[Task]:
        """Give `slot` a task, or several that are short: its share of the queue, if that is worth the way."""
        waiting = self.queue.waiting
        share = -(-len(waiting) // max(1, self.ready))
        most = min(MAX_BATCH, self.may_take(slot)) if self._prefetch else 1
        was_idle = not slot.outstanding
        cost = 0.0
        tasks: list[Task] = []
        while waiting and len(tasks) < most:
            expected = waiting[0].expected
            if waiting[0].max_retries == 0:
                # It must not start twice. Beside others it might: when its worker dies, nobody can tell a
                # task that finished, but whose outcome was lost, from one that never started.
                expected = math.inf
            if len(tasks) >= share and cost + expected > TRIP:
                break
            next_in_line = not (tasks or was_idle) and expected < LONG and len(waiting) >= self.ready
            if (tasks or not was_idle) and cost + expected > BATCH and not next_in_line:
                break
            if self.queue.start_next():
                task = waiting.popleft()
                task.cost = expected
                cost += expected
                tasks.append(task)
                slot.outstanding[task.seq] = task
        if was_idle:
            slot.load = cost
            slot.moved_at = time.monotonic()
        elif tasks:
            slot.load += cost
        else:
            # What is next takes too long to wait with a worker that is busy.
            self._roomy.pop(slot)
        return tasks

    def _send(self, slot: WorkerSlot, link: WorkerLink, tasks: list[Task]) -> list[Task]:
        """Pickle and send `tasks`; returns those that found no place in the message."""
        messages: list[Any] = []
        definitions: list[Any] = []
        size = 0
        unsent: list[Task] = []
        for number, task in enumerate(tasks):
            try:
                message, nbytes = task.message()
            except BaseException as error:  # code of the user's; this is not the main thread
                with self.lock:
                    ours = self.take_back(slot, task.seq) is not None
                if ours:
                    self.queue.reject(task, does_not_pickle(error))
                continue
            missing = task.missing(link.known)
            if missing:
                nbytes += sum(each.body.nbytes for each in missing if each.body is not None)
            if messages and size + nbytes > BATCH_BYTES:
                unsent = tasks[number:]
                break
            for each in missing:
                if each.body is not None:
                    link.known.add(each.id)
                    frozen = isinstance(each, Shared)
                    definitions.append(tuple(Definition(each.id, pack(each.body), frozen)))
            size += nbytes
            messages.append(message)
        if not messages:
            with self.lock:
                link.batches -= 1
            return unsent
        batch_id = next(self._batch_ids)
        settings = current_settings()
        if definitions or link.settings is not settings:
            with self.lock:
                link.defining = batch_id
        reply = partial(self._receiver.on_reply, slot, link, batch_id, [message[0] for message in messages])
        link.run(batch_id, definitions, self._forget(link), messages, settings, reply)
        waits = len(slot.outstanding) > 1 and not self.withdrawal.watched
        timed = not self.stopper.watched and any(task.timeout is not None for task in tasks)
        if waits or timed:
            self.withdrawal.watched = self.withdrawal.watched or waits
            self.stopper.watched = self.stopper.watched or timed
            self.wake()
        return unsent

    def _forget(self, link: WorkerLink) -> list[int]:
        """Definitions that the worker may drop, because no task will refer to them again."""
        forgotten = self.functions.definitions.forgotten
        if forgotten:
            with self.lock:
                links = [slot.link for slot in self.slots if slot.link is not None]
                while forgotten:
                    number = forgotten.popleft()
                    for each in links:
                        if number in each.known:
                            each.known.discard(number)
                            each.to_forget.append(number)
        numbers, link.to_forget = link.to_forget, []
        return numbers

    # --- what others ask -----------------------------------------------------------------------------

    def link_failed(self, link: WorkerLink, error: BaseException) -> None:
        """A call of the worker's failed: the keeper looks what became of it."""
        with self.lock:
            link.batches = 0
            if link.error is None:
                link.error = error
        self.wake()

    def take_from(self, slot: WorkerSlot) -> list[Task]:
        """The tasks that were with a worker that is lost, in its order. Call with the lock."""
        tasks = list(slot.outstanding.values())
        slot.outstanding.clear()
        slot.abandoned.clear()
        slot.load = 0.0
        slot.withdrawing = False
        return tasks

    def break_down(self, reason: str, cause: BaseException | None = None) -> None:
        """Fail everything that is queued or with a worker, and refuse what comes. Idempotent."""
        with self.lock:
            if self.queue.broken is not None:
                return
            tasks = self.queue.break_down(reason, cause)
            for slot in self.slots:
                tasks += self.take_from(slot)
                self.update(slot)
        self.queue.fail(tasks)
        self.wake()
