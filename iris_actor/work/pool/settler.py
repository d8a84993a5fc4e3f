"""Settler: ends tasks, and counts how they ended."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from iris_actor.codec import exception_text
from iris_actor.program_exit import is_program_exit
from iris_actor.report import report_exception
from iris_actor.work.pool.monitor.pool_status import Failure
from iris_actor.work.pool.payload.task import Task

CALLBACK_RAISED = "a done callback raised"
KEPT_FAILURES = 32

_log = logging.getLogger(__name__)


def one_line(error: BaseException) -> str:
    """What a list of failures shows of `error`."""
    text = exception_text(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}"[:300]


class Settler:
    """Resolves the futures of one pool's tasks. Thread-safe.

    Done callbacks run in the thread that settles, and are code of the user's: no lock is held then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards what follows
        self._done = 0
        self._failed = 0
        self._failures: deque[Failure] = deque(maxlen=KEPT_FAILURES)

    def counts(self) -> tuple[int, int, tuple[Failure, ...]]:
        """How many tasks ended with a value, and with an exception; and the latest failures."""
        with self._lock:
            return self._done, self._failed, tuple(self._failures)

    def resolve(self, task: Task, value: Any) -> None:
        """End `task` with `value`."""
        future = task.future
        task.release()
        with self._lock:
            self._done += 1
        try:  # as `_end`, without its call: this is the way of most tasks
            future.set_result(value)
        except BaseException:
            report_exception(_log, CALLBACK_RAISED)

    def reject(self, task: Task, error: BaseException, worker: str = "") -> None:
        """End `task`, which `worker` had, with `error`."""
        future = task.future
        failure = Failure(time.time(), worker, task.name, one_line(error))
        task.release()
        with self._lock:
            self._failed += 1
            self._failures.append(failure)
        _end(partial(future.set_exception, error))

    def withdraw(self, task: Task) -> None:
        """End `task`, which is past the point where its future can be cancelled by itself, as cancelled."""
        future = task.future
        task.release()
        _end(future.withdraw)

    def cancel(self, task: Task) -> None:
        """Cancel `task` as its caller could, if that is still possible."""
        try:
            task.future.cancel()
        except BaseException as error:
            if is_program_exit(error):
                raise
            report_exception(_log, CALLBACK_RAISED)

    def worker_died(self, worker: str, how: str) -> None:
        """Put the end of a worker among the failures."""
        with self._lock:
            self._failures.append(Failure(time.time(), worker, None, how.partition("\n")[0]))


def _end(resolve: Callable[[], None]) -> None:
    """Resolve a future, whatever its done callbacks raise."""
    try:
        resolve()
    except BaseException:  # a callback's SystemExit, say; the stdlib logs Exceptions by itself
        report_exception(_log, CALLBACK_RAISED)
