"""TaskFuture: the `concurrent.futures.Future` of a task, which can also stop the task while it runs.

Nobody waits for most futures: when their turn comes, they are done. So the condition, which is most of what
a Future costs to make and all that it costs the garbage collector, is made when somebody waits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING
from typing import TYPE_CHECKING, Any, TypeVar

from iris_actor.actor.callbacks import is_callback_thread
from iris_actor.signals import settle

if TYPE_CHECKING:
    from iris_actor.work.pool.task import Task

T = TypeVar("T")

Canceller = Callable[["TaskFuture[Any]", bool], bool]
"""Tells a task that is past the queue to stop, or, if the second argument is true, ends it with its worker.
Returns whether the task is over."""


_lock = threading.Lock()
"""Guards all futures that have no condition, for a moment each."""
_WAITING = {"_condition", "_waiters", "_done_callbacks"}
_CANCELLED = {CANCELLED, CANCELLED_AND_NOTIFIED}
_OVER = {FINISHED, *_CANCELLED}
_FIELDS_ARE_KNOWN = set(vars(Future())) == {"_state", "_result", "_exception", *_WAITING}


class TaskFuture(Future[T]):
    """The future of a task. Thread-safe; made by `WorkerPool.submit`."""

    _waiters: list[Any]
    _done_callbacks: list[Any]
    _condition: threading.Condition

    def __init__(self, canceller: Canceller | None = None, task: Task | None = None) -> None:
        # Whether nobody has waited yet, nor added a callback, nor cancelled: there is no condition.
        self._slim = _FIELDS_ARE_KNOWN
        if _FIELDS_ARE_KNOWN:
            self._state = PENDING
            self._result = None
            self._exception = None
        else:
            super().__init__()
        self._canceller = canceller
        # What it is the future of, until that is over.
        self.task = task

    def __getattr__(self, name: str) -> Any:
        # What the base class looks for and does not find yet.
        if name not in _WAITING:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        condition = threading.Condition()
        with _lock:
            if self._slim:
                # No call stands between these, so no handler of a signal comes between them (Ctrl-C).
                self._waiters, self._done_callbacks, self._condition, self._slim = [], [], condition, False
        return object.__getattribute__(self, name)

    def done(self) -> bool:
        """Whether it has a result or an exception, or is cancelled."""
        return self._state in _OVER

    def running(self) -> bool:
        """Whether a worker has the task."""
        return self._state == RUNNING

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._state in _CANCELLED

    def cancel(self, *, kill: bool = False) -> bool:
        """Cancel the task.

        One that no worker has is cancelled, as any future's is. One that a worker has is told: its
        `call_context().cancelled` becomes true. Whether it looks there is its own affair, so it goes on until
        it returns or raises, which is its outcome, and this returns False, as the standard library's futures
        do for whatever is running.

        Args:
            kill: do not leave it at that. The future is cancelled at once, and if the task runs, its worker
                is ended and replaced: SIGTERM, which raises SystemExit in the task, SIGKILL a second later.

        Returns:
            Whether the future is cancelled.
        """
        with self._condition:
            state = self._state
            if state == PENDING:
                self._end_cancelled()
        if state == PENDING:
            if self.task is not None:
                self.task.release()
            self._invoke_callbacks()
            return True
        if state != RUNNING:
            return state != FINISHED
        return self._canceller is not None and self._canceller(self, kill)

    def set_running_or_notify_cancel(self) -> bool:
        """Put the future past the point where it can be cancelled by itself. False: it is cancelled."""
        with _lock:
            if self._slim and self._state == PENDING:
                self._state = RUNNING
                return True
        with self._condition:
            return not self.cancelled() and super().set_running_or_notify_cancel()

    def set_result(self, result: T) -> None:
        """End it with a result."""
        with _lock:
            if self._slim and self._state != FINISHED:
                self._result = result
                self._state = FINISHED
                return
        super().set_result(result)

    def set_exception(self, exception: BaseException | None) -> None:
        """End it with an exception."""
        with _lock:
            if self._slim and self._state != FINISHED:
                self._exception = exception
                self._state = FINISHED
                return
        super().set_exception(exception)

    def withdraw(self) -> None:
        """Cancel it though it counts as running. For the pool, which sees to it that nobody resolves it."""
        with self._condition:
            self._end_cancelled()
        self._invoke_callbacks()

    def _end_cancelled(self) -> None:
        # Those who wait are told at once, and not, as the stdlib does, when the task's turn would come.
        self._state = CANCELLED_AND_NOTIFIED
        for waiter in self._waiters:
            waiter.add_cancelled(self)
        self._condition.notify_all()

    def result(self, timeout: float | None = None) -> T:
        """The task's value; see `concurrent.futures.Future.result`."""
        if self._state != FINISHED:
            self._wait(timeout)
            if self._state != FINISHED:
                return super().result(0)  # which raises what is to be raised
        try:
            if self._exception is not None:
                raise self._exception
            return self._result  # type: ignore[return-value]
        finally:
            del self  # else the exception's traceback would keep the future alive, and that the exception

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the task raised; see `concurrent.futures.Future.exception`."""
        if self._state != FINISHED:
            self._wait(timeout)
            if self._state != FINISHED:
                return super().exception(0)
        return self._exception

    def _wait(self, timeout: float | None) -> None:
        if timeout is None and is_callback_thread() and not self.done():
            raise RuntimeError(
                "a done callback waits for a future that is not done: it would wait for ever, since outcomes"
                " are handled in the thread of callbacks; give that future a callback of its own"
            )
        settle(self, timeout)

    def __reduce__(self) -> Any:
        raise TypeError("a future does not pickle: pass its result(), or submit when it is done")


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it in the parent
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
