"""TaskFuture: the `concurrent.futures.Future` of a task, which can also stop the task while it runs."""

from __future__ import annotations

import os
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING
from typing import Any, Protocol, TypeVar

from iris_actor.actor.callbacks import is_callback_thread
from iris_actor.actor.slim_future import SlimFuture
from iris_actor.errors import ForkedProcessError
from iris_actor.threads.after_fork import ForkStage, at_fork

T = TypeVar("T")


class Submitted(Protocol):
    """What a future is the future of."""

    def release(self) -> None:
        """Drop the call's arguments: the task is over."""

    def stop(self, *, kill: bool) -> bool:
        """Tell a task that is past the queue to stop, or, with `kill`, end it with its worker.

        Returns:
            Whether the task is over by that.
        """


class TaskFuture(SlimFuture[T]):
    """The future of a task. Thread-safe; made by `WorkerPool.submit`."""

    def __init__(self, task: Submitted | None = None) -> None:
        super().__init__()
        self._process = _process
        # What it is the future of, until that is over.
        self.task = task

    def cancel(self, *, kill: bool = False) -> bool:
        """Cancel the task.

        One that no worker has is cancelled, as any future's is. One that a worker has is told: its
        `call_context().cancelled` becomes true. Whether it looks there is its own affair, so it goes on until
        it returns or raises, which is its outcome, and this returns False, as the standard library's futures
        do for whatever is running. If it had not started there and comes back, because the worker is busy for
        longer than expected or dies, it ends as cancelled then.

        Args:
            kill: do not leave it at that. The future is cancelled at once, and if the task runs, its worker
                is ended and replaced: SIGTERM, which raises SystemExit in the task, SIGKILL a second later.

        Returns:
            Whether the future is cancelled. In a forked child it is not: the task is the parent's.
        """
        if self._process != _process:
            return False
        with self._guard:
            state = self._state
            if state == PENDING:
                self._end_cancelled()
        task = self.task
        if state == PENDING:
            if task is not None:
                task.release()
            self._invoke_callbacks()
            return True
        if state != RUNNING:
            return state != FINISHED
        return task is not None and task.stop(kill=kill)

    def withdraw(self) -> None:
        """Cancel it though it counts as running. For the pool, which sees to it that nobody resolves it."""
        with self._guard:
            self._end_cancelled()
        self._invoke_callbacks()

    def _end_cancelled(self) -> None:
        # Those who wait are told at once, and not, as the stdlib does, when the task's turn would come.
        self._state = CANCELLED_AND_NOTIFIED
        for waiter in self._waiters:
            waiter.add_cancelled(self)
        self._condition.notify_all()

    def _wait(self, timeout: float | None) -> None:
        if self._process != _process and not self.done():
            raise ForkedProcessError(self._process)
        if timeout is None and is_callback_thread() and not self.done():
            raise RuntimeError(
                "a done callback waits for a future that is not done: it would wait for ever, since outcomes"
                " are handled in the thread of callbacks; give that future a callback of its own"
            )
        super()._wait(timeout)

    def __reduce__(self) -> Any:
        raise TypeError("a future does not pickle: pass its result(), or submit when it is done")


_process = os.getpid()


def _after_fork_in_child() -> None:
    global _process  # noqa: PLW0603 - a fact about the process
    _process = os.getpid()


at_fork(ForkStage.HELD, in_child=_after_fork_in_child)
