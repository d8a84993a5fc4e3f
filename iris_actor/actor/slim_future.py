"""SlimFuture: a `concurrent.futures.Future` whose condition is made when somebody waits.

Nobody waits for most futures: when their turn comes, they are done. The condition is most of what a Future
costs to make, and nearly all that it costs the garbage collector.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING
from contextlib import suppress
from typing import Any, TypeVar

from iris_actor import signals
from iris_actor.threads.after_fork import ForkStage, at_fork

T = TypeVar("T")

_lock = threading.Lock()
"""Guards all futures that have no condition, for a moment each."""
_WAITING = {"_condition", "_waiters", "_done_callbacks"}
_CANCELLED = {CANCELLED, CANCELLED_AND_NOTIFIED}
_OVER = {FINISHED, *_CANCELLED}
_FIELDS_ARE_KNOWN = set(vars(Future())) == {"_state", "_result", "_exception", *_WAITING}


class SlimFuture(Future[T]):
    """A Future, thread-safe as its base. Ctrl-C ends every wait for it, and leaves it in order."""

    _waiters: list[Any]
    _done_callbacks: list[Any]
    _condition: threading.Condition

    def __init__(self) -> None:
        # Whether nobody has waited yet, nor added a callback, nor cancelled: there is no condition.
        self._slim = _FIELDS_ARE_KNOWN
        if _FIELDS_ARE_KNOWN:
            self._state = PENDING
            self._result = None
            self._exception = None
        else:
            super().__init__()

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

    def __reduce__(self) -> Any:
        # It has no lock that would refuse, and its copy would never be done.
        raise TypeError(f"a {type(self).__name__} cannot be pickled: pass its result()")

    def done(self) -> bool:
        """Whether it has a result or an exception, or is cancelled."""
        return self._state in _OVER

    def running(self) -> bool:
        """Whether it can no longer be cancelled by itself, and is not done."""
        return self._state == RUNNING

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._state in _CANCELLED

    def set_running_or_notify_cancel(self) -> bool:
        """Put the future past the point where it can be cancelled by itself. False: it is cancelled."""
        with _lock:
            if self._slim and self._state == PENDING:
                self._state = RUNNING
                return True
        with self._guard:
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

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Have ``fn(self)`` called when it is done; see `concurrent.futures.Future.add_done_callback`."""
        with self._guard:
            if self._state not in _OVER:
                self._done_callbacks.append(fn)
                return
        super().add_done_callback(fn)

    @property
    def _guard(self) -> Any:
        """The lock of the condition. Entering that itself is Python code, which Ctrl-C can interrupt when
        the lock is taken and nobody knows yet."""
        return self._condition._lock  # type: ignore[attr-defined]  # noqa: SLF001

    def result(self, timeout: float | None = None) -> T:
        """Its value; see `concurrent.futures.Future.result`."""
        error = self.exception(timeout)
        try:
            if error is not None:
                raise error
            return self._result  # type: ignore[return-value]
        finally:
            # Else the exception's traceback would keep the future alive, and that the exception.
            del error, self

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Its exception; see `concurrent.futures.Future.exception`."""
        if self._state != FINISHED:
            self._wait(timeout)
            if self._state in _CANCELLED:
                raise CancelledError
            if self._state != FINISHED:
                raise TimeoutError
        return self._exception

    def _wait(self, timeout: float | None) -> None:
        """Wait until it is done, or for `timeout` seconds."""
        condition = self._condition
        if threading.current_thread() is not threading.main_thread():
            with condition:
                condition.wait_for(self.done, timeout)
            return
        lock = self._guard
        bell = _Bell()
        with lock:
            self._waiters.append(bell)
        try:
            # What is done already, or cancelled by its base, rings no bell.
            signals.wait(lambda seconds: self.done() or bell.wait(seconds), timeout)
        finally:
            with lock, suppress(ValueError):
                self._waiters.remove(bell)


class _Bell:
    """One of a future's waiters: rung when that is done."""

    def __init__(self) -> None:
        self._rung = threading.Lock()
        self._rung.acquire()

    def wait(self, seconds: float) -> bool:
        return self._rung.acquire(timeout=seconds)

    def add_result(self, _future: Future[Any]) -> None:
        if self._rung.locked():
            self._rung.release()

    add_exception = add_cancelled = add_result


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it in the parent
    _lock = threading.Lock()


at_fork(ForkStage.CONNECTIONS, in_child=_after_fork_in_child)
