"""OutgoingCall: one call on its way, as the session sees it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from iris_actor._proto import session_pb2 as pb
from iris_actor.codec import Body
from iris_actor.deadline import Deadline
from iris_actor.errors import (
    ActorNotFoundError,
    BackpressureError,
    CallCancelledError,
    CallError,
    ConnectionLostError,
    DeadlineExceededError,
    MethodNotFoundError,
    PayloadTooLargeError,
    ProtocolError,
    ReentrantCallError,
    SerializationError,
    ServerUnavailableError,
)
from iris_actor.rpc.protocol.transfer import OutgoingTransfer


class Status(Enum):
    """How a call ended when it ended without a value or an exception of the method."""

    ACTOR_NOT_FOUND = pb.ACTOR_NOT_FOUND
    METHOD_NOT_FOUND = pb.METHOD_NOT_FOUND
    DEADLINE_EXCEEDED = pb.DEADLINE_EXCEEDED
    CANCELLED = pb.CANCELLED
    DRAINING = pb.DRAINING
    BACKPRESSURE = pb.BACKPRESSURE
    REENTRANT = pb.REENTRANT
    TOO_LARGE = pb.TOO_LARGE
    SERIALIZATION = pb.SERIALIZATION
    PROTOCOL = pb.PROTOCOL
    CONNECTION_LOST = pb.CONNECTION_LOST


_ERRORS: dict[int, type[CallError]] = {
    pb.ACTOR_NOT_FOUND: ActorNotFoundError,
    pb.METHOD_NOT_FOUND: MethodNotFoundError,
    pb.DEADLINE_EXCEEDED: DeadlineExceededError,
    pb.CANCELLED: CallCancelledError,
    pb.DRAINING: ServerUnavailableError,
    pb.BACKPRESSURE: BackpressureError,
    pb.REENTRANT: ReentrantCallError,
    pb.TOO_LARGE: PayloadTooLargeError,
    pb.SERIALIZATION: SerializationError,
    pb.PROTOCOL: ProtocolError,
    pb.CONNECTION_LOST: ConnectionLostError,
}


def failure(target: str, status: int, message: str, *, may_have_run: bool) -> CallError:
    """The error that a reply with `status` stands for."""
    return _ERRORS.get(status, ProtocolError).of(target, message, may_have_run=may_have_run)


class OutgoingCall:
    """One call on its way. Subclasses say what becomes of its outcome.

    Exactly one of `returned`, `raised` and `failed` is called, once, in the I/O thread or in the thread
    that starts the call; `item` before it, for each item of a stream. None of them may block.

    Attributes:
        id: what the session calls it.
        actor: full name of the actor.
        actor_id: instance that is to take it; empty for any.
        method: name of the method.
        body: its arguments.
        deadline: until when the caller waits; None for ever.
        chain: uids of the calls that wait for this one.
        trace: the trace context.
        credit: items that may be sent ahead; 0 for a call that is no stream.
        transfer: the arguments on their way, when they are large.
        arriving: transfers of the result that are on their way.
        eager: whether the thread that starts it has nothing else to do than to wait for it.
    """

    # What most calls leave alone stands in the class: setting it for each call would cost a microsecond.
    id = 0
    actor_id = ""
    deadline: Deadline | None = None
    chain: tuple[str, ...] = ()
    trace: Mapping[str, str] | None = None
    credit = 0
    transfer: OutgoingTransfer | None = None
    arriving: tuple[int, ...] = ()
    eager = False

    def __init__(self, actor: str, method: str, body: Body) -> None:
        self.actor = actor
        self.method = method
        self.body = body

    @property
    def target(self) -> str:
        """Actor and method, for messages."""
        return f"{self.actor}.{self.method}"

    def returned(self, body: Body) -> None:
        """The method returned; a stream is at its end."""
        raise NotImplementedError

    def raised(self, body: Body) -> None:
        """The method raised; `body` is what `codec.load_exception` takes."""
        raise NotImplementedError

    def failed(self, error: CallError) -> None:
        """There is no outcome of the method."""
        raise NotImplementedError

    def item(self, body: Body) -> None:
        """A stream yielded."""
        raise NotImplementedError
