"""CallFuture: the concurrent.futures.Future of a call, opened by whoever asks for its result."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, Protocol

from iris_actor.actor.callbacks import run_callback
from iris_actor.actor.slim_future import SlimFuture
from iris_actor.codec import Body, load_exception, load_result
from iris_actor.errors import SerializationError
from iris_actor.program_exit import is_program_exit
from iris_actor.rpc.io_thread import check_not_forked, io_thread, is_forked

_log = logging.getLogger(__name__)


class _Raised(Exception):  # noqa: N818 - a marker that never leaves this module
    """Stands for an exception that is still packed."""


class _Abandonable(Protocol):
    def abandon(self) -> None: ...


class CallFuture(SlimFuture[Any]):
    """A Future whose result stays packed until somebody asks for it.

    Unpacking runs the user's code (imports, ``__setstate__``), which must not happen in the I/O thread.
    Done callbacks run in a thread of their own for the same reason, and `cancel` also cancels the call at
    the far side, queued or running.
    """

    call: _Abandonable | None = None
    """What is cancelled with it; None once that is over. No bound method: the collector would have one
    more object to look at, to the four of a call."""
    _packed: Body | None = None
    _opened: tuple[Any, BaseException | None] | None = None

    def __init__(self, target: str) -> None:
        super().__init__()
        self._target = target

    def resolve(self, body: Body) -> None:
        """The call returned `body`. Does nothing when the future is cancelled."""
        self._packed = body
        try:
            self.set_result(None)
        except InvalidStateError:  # cancelled
            self._packed = None

    def reject(self, body: Body) -> None:
        """The call raised `body`."""
        self._packed = body
        self.fail(_Raised())

    def fail(self, error: BaseException) -> None:
        """The call failed."""
        try:
            self.set_exception(error)
        except InvalidStateError:  # cancelled
            self._packed = None

    def cancel(self) -> bool:
        """Cancel the call, wherever it is. False when it is done already, or the call of a parent process."""
        if is_forked():
            return False
        try:
            return super().cancel()
        finally:  # also when a done callback raises
            call = self.call
            if call is not None and self.cancelled():
                self.call = None
                call.abandon()

    def result(self, timeout: float | None = None) -> Any:
        error = super().exception(timeout)
        if self._packed is None and self._opened is None:
            try:
                if error is not None:
                    raise error
                return self._result
            finally:
                del error, self  # else the exception's traceback would keep the future alive
        value, raised = self._open(error)
        if raised is not None:
            try:
                raise raised
            finally:
                del raised, error, self
        return value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        error = super().exception(timeout)
        if self._packed is None and self._opened is None:
            return error
        return self._open(error)[1]

    def _open(self, error: BaseException | None) -> tuple[Any, BaseException | None]:
        opened = self._opened
        body = self._packed
        if opened is None and body is not None:
            # Two threads may unpack at once; both get what the first to finish has made.
            opened = self.__dict__.setdefault("_opened", self._unpack(body, raised=error is not None))
            self._packed = None
        # With the body gone and nothing read before, another thread has opened it in between.
        return opened or self._open(error)

    def _unpack(self, body: Body, *, raised: bool) -> tuple[Any, BaseException | None]:
        if raised:
            return None, load_exception(body)
        try:
            return load_result(self._target, body), None
        except SerializationError as error:
            return None, error

    def _wait(self, timeout: float | None) -> None:
        if not self.done():
            check_not_forked()
        super()._wait(timeout)

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        super().add_done_callback(_Deferred(fn))


class _Deferred:
    """A done callback that leaves the I/O thread before it runs."""

    def __init__(self, fn: Callable[[Future[Any]], object]) -> None:
        self._fn = fn

    def __call__(self, future: Future[Any]) -> None:
        if io_thread().is_current:
            run_callback(lambda: self._run(future))
            return
        try:
            self._fn(future)  # as the stdlib does, which also logs what it raises
        except Exception:
            raise
        except BaseException as error:  # the stdlib would pass over all other callbacks
            if is_program_exit(error):
                raise
            _log.exception("a done callback of %r raised", future)

    def _run(self, future: Future[Any]) -> None:
        # A finished future calls at once whoever is added, and logs what that raises: the stdlib's rules.
        Future.add_done_callback(future, self._fn)
