"""IncomingCall: one call at the side that runs it."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from iris_actor._proto import session_pb2 as pb
from iris_actor.codec import Body, dump_exception, dumps, load_arguments
from iris_actor.deadline import Deadline
from iris_actor.errors import SerializationError
from iris_actor.rpc.outgoing_call import Status
from iris_actor.rpc.unsendable import why_unsendable
from iris_actor.rpc.waiters import Waiters
from iris_actor.rpc.watched import Watched

_process = uuid.uuid4().hex[:12]
_uids = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: host name and process id, as the caller itself states them."""

    host: str
    pid: int


class IncomingCall(Watched):
    """One call at the side that runs it. Subclasses say how its outcome travels.

    Whoever runs it calls one of `send_result`, `send_exception` and `send_failure`, once, from any
    thread; calls after the first, and after a cancellation, do nothing.

    Attributes:
        actor: actor name that was called; may be empty when `actor_id` is not.
        actor_id: instance that was called; empty for any.
        method: name of the method.
        deadline: until when the caller waits; None for ever.
        chain: uids of the calls that wait for this one, outermost first.
        trace: the caller's trace context.
        caller: who calls.
        cancelled: whether the caller, or its end, cancelled the call.
        on_cancel: called, in the I/O thread, when that happens.
        loop: the event loop that runs its method; None while it has none, and for a method in a thread.
    """

    __slots__ = (
        "_credit",
        "_uid",
        "_waiters",
        "actor",
        "actor_id",
        "body",
        "caller",
        "cancelled",
        "chain",
        "deadline",
        "eager",
        "finished",
        "loop",
        "method",
        "on_cancel",
        "trace",
    )

    wants_stream = False

    def __init__(
        self,
        actor: str,
        actor_id: str,
        method: str,
        caller: Caller,
        *,
        deadline: Deadline | None = None,
        chain: tuple[str, ...] = (),
        trace: Mapping[str, str] | None = None,
    ) -> None:
        self.actor = actor
        self.actor_id = actor_id
        self.method = method
        self.caller = caller
        self.deadline = deadline
        self.chain = chain
        self.trace = trace
        self.body: Body | None = None
        self.cancelled = False
        self.finished = False
        self.eager = False
        self.on_cancel: Callable[[], None] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self._uid: str | None = None
        self._watchers = None

    @property
    def uid(self) -> str:
        """Names this call among all that any process runs."""
        if self._uid is None:
            self._uid = f"{_process}-{next(_uids)}"
        return self._uid

    @property
    def known_uid(self) -> str | None:
        """The uid, if a nested call ever asked for it."""
        return self._uid

    @property
    def target(self) -> str:
        """Actor and method, for messages."""
        return f"{self.actor}.{self.method}"

    def take_arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Unpack the arguments, once: the body is forgotten.

        Raises:
            SerializationError: when they cannot be rebuilt here.
        """
        body, self.body = self.body, None
        assert body is not None  # noqa: S101 - dispatched only with a body, unpacked once
        return load_arguments(body)

    def cancel(self) -> None:
        """Nobody waits for it any more. In the I/O thread."""
        self.cancelled = True
        if self.on_cancel is not None:
            self.on_cancel()
        self.tell_watchers()

    def send_result(self, value: Any) -> None:
        """The method returned `value`; one that cannot be pickled becomes a failure."""
        raise NotImplementedError

    def send_exception(self, error: BaseException, *, skip: TracebackType | None = None) -> None:
        """The method raised `error`; `skip` as in `codec.dump_exception`."""
        raise NotImplementedError

    def send_failure(self, status: Status, message: str, *, may_have_run: bool) -> None:
        """The call has no outcome of its own."""
        raise NotImplementedError


class SessionCall(IncomingCall):
    """A call that came over a session."""

    __slots__ = ("_max_payload", "_session", "id", "wants_stream")

    def __init__(self, session: Any, frame: pb.Call, max_payload: int) -> None:
        timeout_us, chain, trace = frame.timeout_us, frame.chain, frame.trace
        super().__init__(
            frame.actor,
            frame.actor_id,
            frame.method,
            session.caller,
            deadline=Deadline.after(timeout_us / 1e6) if timeout_us else None,
            # Most calls have neither, and to copy a map of protobuf's takes the time of ten pickles.
            chain=tuple(chain) if chain else (),
            trace=dict(trace) if trace else None,
        )
        self.id = frame.id
        self._session = session
        self._max_payload = max_payload
        credit = frame.credit
        self.wants_stream = credit > 0
        if credit:
            self._credit = credit
            self._waiters = Waiters()

    def send_result(self, value: Any) -> None:
        try:
            body = dumps(value)
        except SerializationError as error:
            why = why_unsendable(self.method, value, error)
            self.send_failure(Status.SERIALIZATION, f"its result: {why}", may_have_run=True)
            return
        if self._fits(body, "its result"):
            self._send({"id": self.id}, body)

    def send_exception(self, error: BaseException, *, skip: TracebackType | None = None) -> None:
        self._send({"id": self.id, "status": pb.EXCEPTION}, dump_exception(error, skip=skip))

    def send_failure(self, status: Status, message: str, *, may_have_run: bool) -> None:
        fields = {"id": self.id, "status": status.value, "message": message, "may_have_run": may_have_run}
        self._send(fields, None)

    def _fits(self, body: Body, what: str) -> bool:
        size = body.nbytes
        if size <= self._max_payload:
            return True
        error = f"{what} takes {size} bytes, over the limit of {self._max_payload} (Limits.max_payload)"
        self.send_failure(Status.TOO_LARGE, error, may_have_run=True)
        return False

    def _send(self, fields: dict[str, Any], body: Body | None) -> None:
        self._session.answer(self, fields, body)

    # --- streams ------------------------------------------------------------------------------------

    def send_item(self, value: Any) -> bool:
        """Send one item of a stream; call only with credit. False: it could not be sent, the call is over.

        Items that cannot be pickled end the stream with a failure.
        """
        try:
            body = dumps(value)
        except SerializationError as error:
            self.send_failure(Status.SERIALIZATION, f"an item of its stream: {error}", may_have_run=True)
            return False
        if self.cancelled or self.finished or not self._fits(body, "an item of its stream"):
            return False
        self._credit -= 1
        self._session.send_item(self, body)
        return True

    def grant(self, items: int) -> None:
        """The consumer takes `items` more. In the I/O thread."""
        if self.wants_stream:
            self._credit += items
            self._waiters.wake()

    def wait_credit(self) -> bool:
        """Block until an item may be sent; False when nobody waits for it any more."""
        self._waiters.wait(self._may_go_on, Deadline.of(self._patience()))
        return self._credit > 0 and not self.cancelled

    async def wait_credit_async(self) -> bool:
        """As `wait_credit`, for asyncio."""
        await self._waiters.wait_async(self._may_go_on, Deadline.of(self._patience()))
        return self._credit > 0 and not self.cancelled

    def _may_go_on(self) -> bool:
        return self._credit > 0 or self.cancelled or self.finished

    def _patience(self) -> float | None:
        return None if self.deadline is None else self.deadline.timeout

    def cancel(self) -> None:
        super().cancel()
        if self.wants_stream:
            self._waiters.wake()
