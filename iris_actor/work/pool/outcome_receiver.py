"""OutcomeReceiver: takes what workers answer, and resolves the futures of their tasks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from iris_actor import codec
from iris_actor.errors import DeadlineExceededError, PayloadTooLargeError, SerializationError
from iris_actor.work.pool.decisions import Decisions
from iris_actor.work.pool.payload.functions import Functions
from iris_actor.work.pool.payload.task import Task
from iris_actor.work.pool.settler import Settler
from iris_actor.work.pool.workers.worker_process import WorkerProcess
from iris_actor.work.worker.task_wire import Kind, does_not_rebuild, unpack, unpack_value

MAX_BY_VALUE = 16
"""Modules that are sent by value for the sake of one task before it is given up."""


def overtime(process: WorkerProcess | None, task: Task) -> DeadlineExceededError:
    """What a task ends with that ran longer than it may, in that process."""
    where = "a worker" if process is None else process.name
    link = None if process is None else process.link
    if link is not None:
        where += f" (pid {link.pid} on {link.host})"
    return DeadlineExceededError(
        f"task {task.name} ran longer than its timeout of {task.timeout:g} s in {where}"
    )


class OutcomeReceiver:
    """Takes the replies of one pool's workers, in the thread of done callbacks.

    Args:
        decisions: of its engine.
        settler: ends them.
        functions: of the pool.
        run_again: runs a task once more that did not run, when workers have got these definitions anew.
        memory: the memory limit of its workers, as the user put it.
    """

    def __init__(
        self,
        decisions: Decisions,
        settler: Settler,
        functions: Functions,
        run_again: Callable[[Task, list[int]], None],
        memory: str | int | None,
    ) -> None:
        self._decisions = decisions
        self._settler = settler
        self._functions = functions
        self._run_again = run_again
        self._memory = memory

    def on_reply(self, process: WorkerProcess, batch: int, seqs: list[int], call: Future[Any]) -> None:
        """A batch, or a part of it, is done, or failed as a whole."""
        try:
            messages, complete = call.result()
        except (PayloadTooLargeError, SerializationError) as error:
            if self._memory is not None and isinstance(error, PayloadTooLargeError):
                error.add_note(f"the limit follows from ResourceSpec(memory={self._memory!r})")
            self._batch_failed(process, batch, seqs, error)
            return
        except BaseException as error:  # also CancelledError; no outcome of a task travels this way
            self._decisions.link_failed(process.number, error)
            return
        ends = [
            (seq, kind == Kind.VALUE, -1.0 if kind == Kind.NOT_REBUILT else seconds)
            for seq, kind, _, seconds, _ in messages
        ]
        tasks = self._decisions.ask(
            lambda scheduler, now: scheduler.finished(process.number, batch, ends, now, complete=complete)
        )
        finished = [
            (task, message) for task, message in zip(tasks, messages, strict=True) if task is not None
        ]
        messages.clear()  # the call keeps the list, and shall not keep the results
        link = process.link
        if not complete and link is not None:
            link.more(batch, partial(self.on_reply, process, batch, seqs))
        # The worker gets its next tasks before we look at these results.
        self._decisions.feed()
        settled = 0
        finished.reverse()
        try:
            while finished:
                settled += self._finish(process, *finished.pop())
        finally:
            self._decisions.settled(process.number, settled)

    def _finish(self, process: WorkerProcess, task: Task, message: tuple[Any, ...]) -> bool:
        """End `task` with what its worker says (an `OutcomeMessage`); False if it is to run once more."""
        _, kind, packed, _, missing = message
        if kind == Kind.LATE:
            self._settler.reject(task, overtime(process, task), process.name)
            return True
        try:
            if kind == Kind.VALUE:
                value = unpack_value(packed)
            else:
                error = codec.load_exception(unpack(packed))
        except SerializationError as broken:
            self._settler.reject(task, broken, process.name)
            return True
        except BaseException as broken:  # the code of a result's class, run by the unpickler
            self._settler.reject(task, does_not_rebuild(broken), process.name)
            return True
        if kind == Kind.VALUE:
            self._settler.resolve(task, value)
            return True
        if kind == Kind.NOT_REBUILT and missing and self._retry_by_value(task, missing):
            return False
        self._settler.reject(task, error, process.name)
        return True

    def _retry_by_value(self, task: Task, module_name: str) -> bool:
        """Run `task` again, with a module by value that workers do not have. False when that is no use."""
        if task.by_value >= MAX_BY_VALUE or not self._functions.send_by_value(module_name):
            return False
        try:
            renewed = task.repickle(self._functions.version)
            task.function = self._functions.find(task.fn)
        except BaseException:  # code of the user's, in the thread of done callbacks
            return False
        self._run_again(task, [each.id for each in renewed])
        return True

    def _batch_failed(
        self, process: WorkerProcess, batch: int, seqs: list[int], error: BaseException
    ) -> None:
        """The arguments or results of a batch are too large for the way: its tasks fail, the worker lives."""
        link = process.link
        if link is not None:
            link.known.clear()  # its definitions may not have arrived
            link.settings = None
        tasks = self._decisions.ask(lambda scheduler, _: scheduler.batch_failed(process.number, batch, seqs))
        for task in tasks:
            self._settler.reject(task, error, process.name)
        self._decisions.feed()
        self._decisions.settled(process.number, len(tasks))
