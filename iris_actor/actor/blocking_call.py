"""BlockingCall: a call whose caller waits for it."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from typing import Any

from iris_actor import signals
from iris_actor.actor.pending_call import PendingCall
from iris_actor.codec import Body, load_exception, load_result


class BlockingCall(PendingCall):
    """A call whose caller waits for it, at a plain lock: a Future and its condition would cost more.

    The deadline is kept by the waiting thread alone, so nothing that happens elsewhere can hold it up.
    """

    eager = True
    _arrived: threading.Lock
    _outcome: tuple[Body, bool] | BaseException | None = None
    """What was returned or (True) raised, or why there is nothing; None while that is open."""

    def wait(self) -> Any:
        """Send the call and return its result."""
        arrived = self._arrived = threading.Lock()
        arrived.acquire()
        try:
            self.launch(timed=False)
            patience = None if self.deadline is None else self.deadline.timeout
            signals.wait(partial(arrived.acquire, True), patience)
        except BaseException:  # Ctrl-C, or it cannot be sent
            self.abandon()
            raise
        if self._outcome is None:
            late = self.late()
            self.abandon()
            if self._outcome is None:  # else it came in at the last moment
                raise late
        return self._open()

    def _open(self) -> Any:
        outcome = self._outcome
        self._outcome = None
        try:
            if isinstance(outcome, BaseException):
                raise outcome
            assert outcome is not None  # noqa: S101 - `wait` has looked
            body, raised = outcome
            if raised:
                raise load_exception(body)
            return load_result(self.target, body)
        finally:
            del outcome  # an exception's traceback holds this frame

    def _returned(self, body: Body) -> None:
        self._outcome = (body, False)
        self._arrived.release()

    def _raised(self, body: Body) -> None:
        self._outcome = (body, True)
        self._arrived.release()

    def _failed(self, error: BaseException) -> None:
        self._outcome = error
        with suppress(RuntimeError):  # its start may fail here and there at once
            self._arrived.release()
