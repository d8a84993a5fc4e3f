"""Dispatcher: gives queued tasks to workers and takes their outcomes.

::

    submit() ── queue ──▶ pump(): pick under the lock, pickle and send outside it ──▶ worker
                            ▲                                                          │
    futures ◀── outcomes ── on_reply() in the thread of done callbacks ◀───────────────┘

Whoever makes room or work pumps; there is no thread of the dispatcher's own. A worker with nothing to do
gets the next task at once. A worker gets more than one task only while tasks are known to be short: then
about `BATCH` seconds of work travel in one message, and a second message is on its way while the first is
being worked on. Where that guess turns out wrong, the tasks that wait behind a slow one are taken back
(`withdraw_stuck`).
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from iris_actor import codec
from iris_actor.errors import PayloadTooLargeError, SerializationError
from iris_actor.work.functions import UNKNOWN, Functions
from iris_actor.work.task import Task
from iris_actor.work.task_queue import TaskQueue
from iris_actor.work.task_wire import (
    FIRST_TASK,
    Definition,
    Kind,
    OutcomeMessage,
    does_not_pickle,
    pack,
    unpack,
)
from iris_actor.work.worker_link import WorkerLink
from iris_actor.work.worker_slot import SlotState, WorkerSlot

BATCH = 0.002
"""Seconds of expected work that travel in one message: enough to pay for it, too little to be waited for."""
MAX_BATCH = 256
BATCH_BYTES = 4 * 1024 * 1024
"""Bytes of arguments that a batch may have; a larger task travels alone."""
STUCK = 0.05
"""Seconds without progress after which tasks that wait with a worker are taken back."""
MAX_BY_VALUE = 16
"""Modules that are sent by value for the sake of one task before it is given up."""


class Dispatcher:
    """The queue of a pool and the tasks that are with its workers. Thread-safe.

    Args:
        prefetch: whether a worker may hold tasks beside the one it runs.
        wake: has the keeper look at workers that changed.

    Attributes:
        lock: guards this object, `queue`, and every slot.
        ending: whether the keeper waits for the last task.
        watched: whether the keeper calls `withdraw_stuck` at short intervals.
    """

    def __init__(self, *, prefetch: bool, wake: Callable[[], None]) -> None:
        self.lock = threading.Lock()
        self.queue = TaskQueue(self.lock)
        self.slots: list[WorkerSlot] = []
        self.ending = False
        self.watched = False
        self._functions = Functions()
        self._prefetch = prefetch
        self._wake = wake
        self._roomy: dict[WorkerSlot, None] = {}
        self._ready = 0
        self._seqs = itertools.count(FIRST_TASK)
        self._batch_ids = itertools.count(1)

    def submit(self, fn: Callable[..., Any], args: Any, kwargs: Any, **options: Any) -> Future[Any]:
        """Queue a call; `options` are those of `Task`. A function that does not pickle fails its future.

        Raises:
            BrokenWorkerPool: the pool is broken.
        """
        task = Task(next(self._seqs), fn, args, kwargs, **options)
        future = task.future
        try:
            task.function = self._functions.find(task.fn)
        except Exception as error:
            self.queue.spoiled(task, does_not_pickle(error))
            return future
        self.queue.add(task)
        # Read after the insertion: whoever makes room later pumps, and sees the task.
        if self._roomy:
            self.pump()
        return future

    def expected(self, fn: Callable[..., Any]) -> float:
        """Seconds that a call of `fn` takes, as far as anyone can tell."""
        try:
            return self._functions.find(fn).mean
        except Exception:  # it does not pickle: the call will say so
            return UNKNOWN

    # --- giving tasks to workers ----------------------------------------------------------------------

    def update(self, slot: WorkerSlot) -> None:
        """Note whether `slot` has room. Call with the lock, after each change of the slot."""
        self._roomy.pop(slot, None)
        if self._has_room(slot):
            self._roomy[slot] = None

    def set_state(self, slot: WorkerSlot, state: SlotState) -> None:
        """Move `slot` on. Call with the lock."""
        slot.state = state
        self._ready = sum(each.state is SlotState.READY and not each.retiring for each in self.slots)
        self.update(slot)

    def _has_room(self, slot: WorkerSlot) -> bool:
        if slot.state is not SlotState.READY or slot.feeding or slot.retiring or slot.link is None:
            return False
        if not slot.outstanding:
            return True
        return self._prefetch and not slot.withdrawing and slot.load < BATCH and slot.link.batches < 2

    def pump(self) -> None:
        """Give tasks to workers until one or the other runs out."""
        while True:
            with self.lock:
                picked = self._pick()
            if picked is None:
                return
            slot, link, tasks = picked
            try:
                unsent = self._send(slot, link, tasks)
            except Exception as error:  # the link cannot even take a call: the keeper sees to the worker
                unsent = []
                self._link_failed(link, error)
            with self.lock:
                slot.feeding = False
                unsent = [task for task in unsent if self._take_back(slot, task.seq) is not None]
                self.queue.waiting.extendleft(reversed(unsent))
                self.update(slot)

    def _take_back(self, slot: WorkerSlot, seq: int) -> Task | None:
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
        best: WorkerSlot | None = None
        for slot in self._roomy:
            if not slot.outstanding:
                return slot
            if best is None or slot.load < best.load:
                best = slot
        assert best is not None  # noqa: S101 - called with room only
        return best

    def _assign(self, slot: WorkerSlot) -> list[Task]:
        """Give `slot` a task, or several that are short, but no more than its share of the queue."""
        waiting = self.queue.waiting
        most = min(MAX_BATCH, -(-len(waiting) // max(1, self._ready))) if self._prefetch else 1
        was_idle = not slot.outstanding
        cost = 0.0
        tasks: list[Task] = []
        while waiting and len(tasks) < most:
            expected = waiting[0].expected
            if (tasks or not was_idle) and cost + expected > BATCH:
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
            except Exception as error:
                with self.lock:
                    ours = self._take_back(slot, task.seq) is not None
                if ours:
                    self.queue.reject(task, does_not_pickle(error))
                continue
            function = task.function
            body = None if function is None or function.id in link.known else function.body
            if body is not None:
                nbytes += body.nbytes
            if messages and size + nbytes > BATCH_BYTES:
                unsent = tasks[number:]
                break
            if function is not None and body is not None:
                link.known.add(function.id)
                definitions.append(tuple(Definition(function.id, pack(body))))
            size += nbytes
            messages.append(message)
        if not messages:
            with self.lock:
                link.batches -= 1
            return unsent
        batch_id = next(self._batch_ids)
        reply = partial(self._on_reply, slot, link, batch_id, [message[0] for message in messages])
        link.run(batch_id, definitions, self._forget(link), messages, reply)
        if len(messages) > 1 and not self.watched:
            self.watched = True
            self._wake()
        return unsent

    def _forget(self, link: WorkerLink) -> list[int]:
        """Functions that the worker may drop, because no task will refer to them again."""
        if self._functions.forgotten:
            with self.lock:
                links = [slot.link for slot in self.slots if slot.link is not None]
                while self._functions.forgotten:
                    number = self._functions.forgotten.popleft()
                    for each in links:
                        if number in each.known:
                            each.known.discard(number)
                            each.to_forget.append(number)
        numbers, link.to_forget = link.to_forget, []
        return numbers

    # --- taking outcomes ------------------------------------------------------------------------------

    def _on_reply(
        self, slot: WorkerSlot, link: WorkerLink, batch_id: int, seqs: list[int], call: Future[Any]
    ) -> None:
        try:
            messages, complete = call.result()
        except (PayloadTooLargeError, SerializationError) as error:
            self._batch_failed(slot, link, seqs, error)
            return
        except BaseException as error:  # also CancelledError; no outcome of a task travels this way
            self._link_failed(link, error)
            return
        finished = self._take_outcomes(slot, link, messages, complete=complete)
        messages.clear()  # the call keeps the list, and shall not keep the results
        if not complete:
            link.more(batch_id, partial(self._on_reply, slot, link, batch_id, seqs))
        # The worker gets its next tasks before we look at these results.
        self.pump()
        finished.reverse()
        try:
            while finished:
                self._finish(*finished.pop())
        finally:
            self._wake_if_needed(slot)

    def _take_outcomes(
        self, slot: WorkerSlot, link: WorkerLink, messages: list[Any], *, complete: bool
    ) -> list[tuple[Task, tuple[Any, ...]]]:
        finished = []
        with self.lock:
            if complete:
                link.batches -= 1
            if slot.link is not link:  # the worker was given up meanwhile, and its tasks given to others
                return []
            for message in messages:
                seq, kind, _, seconds, _ = message
                task = self._take_back(slot, seq)
                if task is None:
                    continue
                if task.function is not None and kind != Kind.NOT_REBUILT:
                    task.function.measured(seconds / task.weight)
                finished.append((task, message))
            slot.streak = 0
            slot.moved_at = time.monotonic()
            self.update(slot)
        return finished

    def _wake_if_needed(self, slot: WorkerSlot) -> None:
        with self.lock:
            needed = slot.retiring or slot.state is not SlotState.READY or (self.ending and self.queue.idle)
        if needed:
            self._wake()

    def _finish(self, task: Task, message: tuple[Any, ...]) -> None:
        outcome = OutcomeMessage(*message)
        body = unpack(outcome.packed)
        try:
            if outcome.kind == Kind.VALUE:
                value = codec.loads(body)
            else:
                error = codec.load_exception(body)
        except SerializationError as broken:
            self.queue.reject(task, broken)
            return
        if outcome.kind == Kind.VALUE:
            self.queue.resolve(task, value)
            return
        missing = outcome.missing if outcome.kind == Kind.NOT_REBUILT else None
        if missing and self._retry_by_value(task, missing):
            return
        self.queue.reject(task, error)

    def send_by_value(self, module_name: str) -> bool:
        """See `Functions.send_by_value`."""
        return self._functions.send_by_value(module_name)

    def _retry_by_value(self, task: Task, module_name: str) -> bool:
        """Queue `task` again, with a module by value that workers do not have. False when that is no use."""
        if task.by_value >= MAX_BY_VALUE or not self._functions.send_by_value(module_name):
            return False
        task.repickle()
        try:
            task.function = self._functions.find(task.fn)
        except Exception:
            return False
        self.queue.requeue([task])
        self.pump()
        return True

    def _batch_failed(
        self, slot: WorkerSlot, link: WorkerLink, seqs: list[int], error: BaseException
    ) -> None:
        """The arguments or results of a batch are too large for the way: its tasks fail, the worker lives."""
        with self.lock:
            link.batches -= 1
            link.known.clear()  # its definitions may not have arrived
            mine = slot.link is link
            found = [self._take_back(slot, seq) for seq in seqs] if mine else []
            self.update(slot)
        for task in found:
            if task is not None:
                self.queue.reject(task, error)
        self.pump()
        self._wake_if_needed(slot)

    def _link_failed(self, link: WorkerLink, error: BaseException) -> None:
        with self.lock:
            link.batches = 0
            if link.error is None:
                link.error = error
        self._wake()

    # --- what the keeper asks -------------------------------------------------------------------------

    @property
    def watches(self) -> bool:
        """Whether tasks wait with a worker that may be stuck. Call with the lock."""
        return self._ready > 1 and any(len(slot.outstanding) > 1 for slot in self.slots)

    def withdraw_stuck(self) -> None:
        """Take back what waits behind a task that takes longer than expected."""
        now = time.monotonic()
        asked = []
        with self.lock:
            if not self.watches:
                return
            for slot in self.slots:
                stuck = len(slot.outstanding) > 1 and now - slot.moved_at > STUCK
                waits = slot.state is not SlotState.READY or slot.withdrawing or slot.feeding
                if stuck and not waits and slot.link is not None:
                    slot.withdrawing = True
                    self.update(slot)
                    asked.append((slot, slot.link))
        for slot, link in asked:
            link.withdraw(partial(self._on_withdrawn, slot, link))

    def _on_withdrawn(self, slot: WorkerSlot, link: WorkerLink, call: Future[Any]) -> None:
        try:
            seqs = call.result()
        except BaseException as error:
            self._link_failed(link, error)
            return
        with self.lock:
            if slot.link is not link:
                return
            slot.withdrawing = False
            taken = [task for seq in seqs if (task := self._take_back(slot, seq)) is not None]
            if slot.outstanding:
                slot.load = max(slot.load, BATCH)  # longer than anyone expected, it gets nothing beside
            self.update(slot)
        self.queue.requeue(sorted(taken, key=lambda task: task.seq))
        self.pump()

    def take_from(self, slot: WorkerSlot) -> list[Task]:
        """The tasks that were with a worker that is lost, in its order. Call with the lock."""
        tasks = list(slot.outstanding.values())
        slot.outstanding.clear()
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
        self._wake()
