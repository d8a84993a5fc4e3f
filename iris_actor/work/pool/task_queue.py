"""TaskQueue: the tasks of a pool that no worker has, and the count of those that are not over."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from iris_actor.codec import exception_text
from iris_actor.errors import BrokenWorkerPool
from iris_actor.program_exit import is_program_exit
from iris_actor.report import report_exception
from iris_actor.work.pool.pool_status import Failure
from iris_actor.work.pool.task import Task

AFTER_SHUTDOWN = "cannot schedule new futures after shutdown"
"""As the standard library puts it."""
CALLBACK_RAISED = "a done callback raised"
KEPT_FAILURES = 32
BEHIND = 64
"""How many others a task that a worker died of lets go first."""


_log = logging.getLogger(__name__)


def one_line(error: BaseException) -> str:
    """What a list of failures shows of `error`."""
    text = exception_text(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}"[:300]


class TaskQueue:
    """Tasks in the order in which they are to be started. Guarded by `lock`, which it shares with the slots.

    `resolve`, `reject` and `requeue` are called without the lock: the done callbacks that they run are the
    user's code.

    Attributes:
        waiting: tasks that no worker has; those that are cancelled meanwhile drop out when they are met.
        closed: whether nobody will run any more tasks, since the pool ends.
        broken: why no task can be run any more, and the exception behind that.
        done, failed: tasks that ended with a value, and with an exception.
        failures: the latest of these and of workers' deaths.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._unresolved = 0
        self.waiting: deque[Task] = deque()
        self.closed = False
        self.broken: tuple[str, BaseException | None] | None = None
        self.done = 0
        self.failed = 0
        self.failures: deque[Failure] = deque(maxlen=KEPT_FAILURES)

    def add(self, task: Task) -> None:
        """Queue a new task. Takes the lock.

        Raises:
            BrokenWorkerPool: the pool is broken.
            RuntimeError: the pool ends.
        """
        with self._lock:
            if self.broken is not None:
                raise self.broken_error()
            if self.closed:
                raise RuntimeError(AFTER_SHUTDOWN)
            # In this order nothing that Ctrl-C could interrupt stands between the two.
            self._unresolved += 1
            self.waiting.append(task)

    def spoiled(self, task: Task, error: BaseException) -> None:
        """End a new task that cannot even be queued. Takes the lock."""
        failure = Failure(time.time(), "", task.name, one_line(error))
        with self._lock:
            self.failed += 1
            self.failures.append(failure)
        task.release()
        task.future.set_exception(error)

    def start_next(self) -> bool:
        """Put the first task beyond cancellation. False: it was cancelled, and is gone. With the lock."""
        task = self.waiting[0]
        if task.started:
            return True
        if task.future.set_running_or_notify_cancel():
            task.started = True
            return True
        self.waiting.popleft()
        self._unresolved -= 1
        return False

    @property
    def idle(self) -> bool:
        """Whether no task is left that is not over; may be late to notice a cancelled one."""
        return self._unresolved == 0

    def drop_cancelled(self) -> None:
        """Take notice of cancelled tasks. Call with the lock."""
        live = [task for task in self.waiting if task.started or not task.future.cancelled()]
        if len(live) != len(self.waiting):
            self._unresolved -= len(self.waiting) - len(live)
            self.waiting = deque(live)

    def cancel_waiting(self) -> None:
        """Cancel all tasks that no worker has had yet. Takes the lock."""
        with self._lock:
            tasks = list(self.waiting)
        for task in tasks:
            try:
                task.future.cancel()
            except BaseException as error:  # of a callback; the other tasks are to be cancelled too
                if is_program_exit(error):
                    raise
                report_exception(_log, CALLBACK_RAISED)

    def resolve(self, task: Task, value: Any) -> None:
        """End `task` with `value`."""
        future = task.future
        task.release()
        with self._lock:
            self.done += 1
        try:
            future.set_result(value)
        except BaseException:
            report_exception(_log, CALLBACK_RAISED)
        with self._lock:
            self._unresolved -= 1

    def reject(self, task: Task, error: BaseException, worker: str = "") -> None:
        """End `task`, which `worker` had, with `error`."""
        future = task.future
        failure = Failure(time.time(), worker, task.name, one_line(error))
        task.release()
        with self._lock:
            self.failed += 1
            self.failures.append(failure)
        self._end(partial(future.set_exception, error))

    def withdraw(self, task: Task) -> None:
        """End `task`, which is past the point where its future can be cancelled by itself, as cancelled."""
        future = task.future
        task.release()
        self._end(future.withdraw)

    def _end(self, resolve: Callable[[], None]) -> None:
        try:
            resolve()
        except BaseException:  # a callback's SystemExit, say; the stdlib logs Exceptions by itself
            report_exception(_log, CALLBACK_RAISED)
        with self._lock:
            self._unresolved -= 1

    def requeue(self, tasks: Iterable[Task]) -> None:
        """Put tasks that a worker had back to the head, in their order; those that it died of, behind others.

        Those that were cancelled meanwhile end here.

        The first task of a fresh worker is the one that its imports are done for. Were it always the same
        one, it would be charged with each death in that time, whatever the cause.
        """
        tasks = list(tasks)
        with self._lock:
            broken = self.broken is not None
            unwanted = [task for task in tasks if task.unwanted]
            tasks = [task for task in tasks if not task.unwanted]
            if not broken:
                self.waiting.extendleft(task for task in reversed(tasks) if not task.deaths)
                for task in tasks:
                    if task.deaths:
                        self.waiting.insert(BEHIND, task)
        for task in unwanted:
            self.withdraw(task)
        if broken:
            for task in tasks:
                self.reject(task, self.broken_error())

    def broken_error(self) -> BrokenWorkerPool:
        """A new error that says why the pool is broken."""
        reason, cause = self.broken or ("", None)
        error = BrokenWorkerPool(reason)
        error.__cause__ = cause
        return error

    def break_down(self, reason: str, cause: BaseException | None) -> list[Task]:
        """Refuse new tasks from now on; returns the waiting ones, for `fail`. Call with the lock."""
        self.broken = (reason, cause)
        tasks = list(self.waiting)
        self.waiting.clear()
        return tasks

    def fail(self, tasks: Iterable[Task]) -> None:
        """End tasks of a broken pool."""
        for task in tasks:
            if task.started or task.future.set_running_or_notify_cancel():
                self.reject(task, self.broken_error())
            else:
                with self._lock:
                    self._unresolved -= 1
