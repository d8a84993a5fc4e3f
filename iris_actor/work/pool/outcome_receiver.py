"""OutcomeReceiver: takes what workers answer, and resolves the futures of their tasks."""

from __future__ import annotations

import time
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from iris_actor import codec
from iris_actor.errors import PayloadTooLargeError, SerializationError
from iris_actor.work.pool.task import Task
from iris_actor.work.pool.task_stopper import overtime
from iris_actor.work.pool.worker_link import WorkerLink
from iris_actor.work.pool.worker_slot import SlotState, WorkerSlot
from iris_actor.work.worker.task_wire import Kind, does_not_rebuild, unpack, unpack_value

if TYPE_CHECKING:
    from iris_actor.work.pool.dispatcher import Dispatcher

MAX_BY_VALUE = 16
"""Modules that are sent by value for the sake of one task before it is given up."""


class OutcomeReceiver:
    """Takes the replies of one pool's workers, in the thread of done callbacks.

    Args:
        dispatcher: of the pool.
        memory: the memory limit of its workers, as the user put it.
    """

    def __init__(self, dispatcher: Dispatcher, memory: str | int | None) -> None:
        self._memory = memory
        self._dispatcher = dispatcher
        self._queue = dispatcher.queue
        self._lock = dispatcher.lock

    def on_reply(
        self, slot: WorkerSlot, link: WorkerLink, batch_id: int, seqs: list[int], call: Future[Any]
    ) -> None:
        """A batch, or a part of it, is done, or failed as a whole."""
        with self._lock:
            if link.defining == batch_id:  # and not one that was on its way before
                link.defining = 0
        try:
            messages, complete = call.result()
        except (PayloadTooLargeError, SerializationError) as error:
            if self._memory is not None and isinstance(error, PayloadTooLargeError):
                error.add_note(f"the limit follows from ResourceSpec(memory={self._memory!r})")
            self._batch_failed(slot, link, seqs, error)
            return
        except BaseException as error:  # also CancelledError; no outcome of a task travels this way
            self._dispatcher.link_failed(link, error)
            return
        finished = self._take_outcomes(slot, link, messages, complete=complete)
        messages.clear()  # the call keeps the list, and shall not keep the results
        if not complete:
            link.more(batch_id, partial(self.on_reply, slot, link, batch_id, seqs))
        # The worker gets its next tasks before we look at these results.
        self._dispatcher.pump()
        finished.reverse()
        try:
            while finished:
                self._finish(slot, *finished.pop())
        finally:
            self._wake_if_needed(slot)

    def _take_outcomes(
        self, slot: WorkerSlot, link: WorkerLink, messages: list[Any], *, complete: bool
    ) -> list[tuple[Task, tuple[Any, ...]]]:
        finished = []
        with self._lock:
            if complete:
                link.batches -= 1
            if slot.link is not link:  # the worker was given up meanwhile, and its tasks given to others
                return []
            for message in messages:
                seq, kind, _, seconds, _ = message
                slot.finished += 1
                slot.abandoned.pop(seq, None)
                task = self._dispatcher.take_back(slot, seq)
                if task is None:
                    continue
                if kind == Kind.VALUE:
                    slot.done += 1
                else:
                    slot.failed += 1
                if task.function is not None and kind != Kind.NOT_REBUILT:
                    task.function.measured(seconds / task.weight)
                finished.append((task, message))
            slot.streak = 0
            slot.moved_at = time.monotonic()
            self._dispatcher.update(slot)
        return finished

    def _wake_if_needed(self, slot: WorkerSlot) -> None:
        with self._lock:
            needed = (
                slot.retiring
                or slot.state is not SlotState.READY
                or (self._dispatcher.ending and self._queue.idle)
            )
            needed = needed or self._dispatcher.may_take(slot) < 1
        if needed:
            self._dispatcher.wake()

    def _finish(self, slot: WorkerSlot, task: Task, message: tuple[Any, ...]) -> None:  # an OutcomeMessage
        _, kind, packed, _, missing = message
        if kind == Kind.LATE:
            self._queue.reject(task, overtime(slot, task), slot.name)
            return
        try:
            if kind == Kind.VALUE:
                value = unpack_value(packed)
            else:
                error = codec.load_exception(unpack(packed))
        except SerializationError as broken:
            self._queue.reject(task, broken, slot.name)
            return
        except BaseException as broken:  # the code of a result's class, run by the unpickler
            self._queue.reject(task, does_not_rebuild(broken), slot.name)
            return
        if kind == Kind.VALUE:
            self._queue.resolve(task, value)
            return
        if kind == Kind.NOT_REBUILT and missing and self._retry_by_value(task, missing):
            return
        self._queue.reject(task, error, slot.name)

    def _retry_by_value(self, task: Task, module_name: str) -> bool:
        """Queue `task` again, with a module by value that workers do not have. False when that is no use."""
        if task.by_value >= MAX_BY_VALUE or not self._dispatcher.functions.send_by_value(module_name):
            return False
        try:
            renewed = task.repickle(self._dispatcher.functions.version)
            task.function = self._dispatcher.functions.find(task.fn)
        except BaseException:  # code of the user's, in the thread of done callbacks
            return False
        with self._lock:
            for slot in self._dispatcher.slots:
                if slot.link is not None:
                    slot.link.known.difference_update(each.id for each in renewed)
        self._queue.requeue([task])
        self._dispatcher.pump()
        return True

    def _batch_failed(
        self, slot: WorkerSlot, link: WorkerLink, seqs: list[int], error: BaseException
    ) -> None:
        """The arguments or results of a batch are too large for the way: its tasks fail, the worker lives."""
        with self._lock:
            link.batches -= 1
            link.known.clear()  # its definitions may not have arrived
            link.settings = None
            mine = slot.link is link
            found = [self._dispatcher.take_back(slot, seq) for seq in seqs] if mine else []
            self._dispatcher.update(slot)
        for task in found:
            if task is not None:
                self._queue.reject(task, error, slot.name)
        self._dispatcher.pump()
        self._wake_if_needed(slot)
