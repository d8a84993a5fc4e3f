"""TaskFuture: the `concurrent.futures.Future` of a task, which can also stop the task while it runs.

It costs the garbage collector half as much as its base: each `threading.Condition` is eight objects that the
collector visits (a deque, bound methods of its lock), nearly all that a Future consists of. A program that
holds 100,000 futures pays for that with each collection: it was 40% of what a tiny task cost the driver.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING
from typing import TYPE_CHECKING, Any, TypeVar

from iris_actor.actor.callbacks import is_callback_thread
from iris_actor.signals import settle

if TYPE_CHECKING:
    from iris_actor.work.pool.task import Task

T = TypeVar("T")

Canceller = Callable[["TaskFuture[Any]", bool], bool]
"""Tells a task that is past the queue to stop, or, if the second argument is true, ends it with its worker.
Returns whether the task is over."""


class _SlimCondition(threading.Condition):
    """A Condition that makes its queue when somebody waits and looks its lock's methods up when needed."""

    def __init__(self) -> None:
        self._lock: Any = threading.RLock()
        self._waiters: Any = ()

    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        acquired: bool = self._lock.acquire(*args, **kwargs)
        return acquired

    def release(self) -> None:
        self._lock.release()

    def _release_save(self) -> Any:
        return self._lock._release_save()

    def _acquire_restore(self, state: Any) -> None:
        self._lock._acquire_restore(state)

    def _is_owned(self) -> bool:
        owned: bool = self._lock._is_owned()
        return owned

    def wait(self, timeout: float | None = None) -> bool:
        if not self._waiters:
            self._waiters = deque()
        return super().wait(timeout)


_FIELDS_ARE_KNOWN = set(vars(Future())) == {
    "_condition", "_state", "_result", "_exception", "_waiters", "_done_callbacks",
}  # fmt: skip


class TaskFuture(Future[T]):
    """The future of a task. Thread-safe; made by `WorkerPool.submit`."""

    def __init__(self, canceller: Canceller | None = None, task: Task | None = None) -> None:
        if _FIELDS_ARE_KNOWN:
            # What `Future.__init__` does, without a Condition that would be thrown away at once.
            self._state = PENDING
            self._result = None
            self._exception = None
            self._waiters: list[Any] = []
            self._done_callbacks: list[Any] = []
        else:
            super().__init__()
        self._condition = _SlimCondition()
        self._canceller = canceller
        # What it is the future of, until that is over. All fields are set here: one that is added later would
        # cost each future a dict of its own.
        self.task = task

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
            self._invoke_callbacks()  # type: ignore[attr-defined]
            return True
        if state != RUNNING:
            return state != FINISHED
        return self._canceller is not None and self._canceller(self, kill)

    def set_running_or_notify_cancel(self) -> bool:
        """Put the future past the point where it can be cancelled by itself. False: it is cancelled."""
        with self._condition:
            return not self.cancelled() and super().set_running_or_notify_cancel()

    def withdraw(self) -> None:
        """Cancel it though it counts as running. For the pool, which sees to it that nobody resolves it."""
        with self._condition:
            self._end_cancelled()
        self._invoke_callbacks()  # type: ignore[attr-defined]

    def _end_cancelled(self) -> None:
        # Those who wait are told at once, and not, as the stdlib does, when the task's turn would come.
        self._state = CANCELLED_AND_NOTIFIED
        for waiter in self._waiters:
            waiter.add_cancelled(self)
        self._condition.notify_all()

    def result(self, timeout: float | None = None) -> T:
        """The task's value; see `concurrent.futures.Future.result`."""
        self._check_wait(timeout)
        settle(self, timeout)
        try:
            value = super().result(0)
            if value is None and self._exception is not None:
                raise self._exception  # one that counts as false, which Python overlooks before 3.13.4
            return value
        finally:
            del self  # else the exception's traceback would keep the future alive, and that the exception

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the task raised; see `concurrent.futures.Future.exception`."""
        self._check_wait(timeout)
        settle(self, timeout)
        return super().exception(0)

    def _check_wait(self, timeout: float | None) -> None:
        if timeout is None and is_callback_thread() and not self.done():
            raise RuntimeError(
                "a done callback waits for a future that is not done: it would wait for ever, since outcomes"
                " are handled in the thread of callbacks; give that future a callback of its own"
            )

    def __reduce__(self) -> Any:
        raise TypeError("a future does not pickle: pass its result(), or submit when it is done")
