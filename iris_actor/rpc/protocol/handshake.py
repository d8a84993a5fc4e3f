"""Handshake: what the two sides of a session say on each new stream before the first packet. Pure.

::

    client                                          server
      begin() ── hello: session, what it has ──────► receive() ─► Accepted: make or resume the session
      receive() ◄── welcome: incarnation, limits ─── answer        Unknown: it is not there (any more)
         │                                                         Refused: another version, no hello
         ├─► Accepted: attach the link, from what the server has
         ├─► Lost: another incarnation, or the session is gone: calls fail
         └─► Refused: no server of ours, or another version

A verdict is a value; what becomes of it is for whoever drives the stream. `Going` is the verdict of a message
that is answered and not the last: the way in for a challenge of both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from iris_actor._proto import session_pb2 as pb
from iris_actor.errors import ProtocolError
from iris_actor.rpc.limits import Limits
from iris_actor.rpc.protocol.wire import VERSION, decode


@dataclass(frozen=True, slots=True)
class Going:
    """The handshake goes on: send `answer`, and give the next message to `receive`."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """The session cannot be resumed: calls that it had are lost. `reason` says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The other side does not keep the protocol. `reason` says how; the stream is of no use."""

    reason: str


@dataclass(frozen=True, slots=True)
class Welcomed:
    """The client's side is through.

    Attributes:
        incarnation: id of the server's run.
        received: number of the last packet that the server has.
        max_in_flight: calls that this caller may have in flight.
        max_payload: bytes that a body may have.
        resume_window: seconds for which the session outlives its stream.
        lane: name of the lane that takes the session over; empty when there is none.
    """

    incarnation: str
    received: int
    max_in_flight: int
    max_payload: int
    resume_window: float
    lane: str


@dataclass(frozen=True, slots=True)
class Greeted:
    """The server's side is through, once `answer` is sent.

    Attributes:
        session_id: of the session.
        received: number of the last packet that the client has.
        host: where the client says it runs.
        pid: its process id there, as it says.
        answer: the welcome.
    """

    session_id: str
    received: int
    host: str
    pid: int
    answer: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """The client asks for a session that is not there. `answer` tells it so."""

    answer: bytes


class _State(Enum):
    NEW = "new"
    WAITING = "waiting"
    OVER = "over"


class ClientHandshake:
    """The caller's side, for one stream.

    Args:
        session_id: of the session.
        incarnation: of the server that has the session; empty before the first stream.
        received: number of the last packet that this side has.
        host: where this process runs.
        pid: its process id.
    """

    def __init__(self, session_id: str, incarnation: str, received: int, *, host: str, pid: int) -> None:
        self._state = _State.NEW
        self._incarnation = incarnation
        self._hello = pb.Hello(
            version=VERSION,
            session_id=session_id,
            resume=bool(incarnation),
            received=received,
            host=host,
            pid=pid,
        )

    def begin(self) -> bytes:
        """What to send first."""
        assert self._state is _State.NEW  # noqa: S101 - one stream has one handshake
        self._state = _State.WAITING
        return pb.Packet(hello=self._hello).SerializeToString()

    def receive(self, data: bytes | memoryview) -> Going | Welcomed | Lost | Refused:
        """The verdict on the server's message."""
        assert self._state is _State.WAITING  # noqa: S101 - see above
        self._state = _State.OVER
        try:
            packet, _ = decode(data)
        except ProtocolError as error:
            return Refused(str(error))
        welcome = packet.welcome
        if welcome.version != VERSION:  # 0 where it did not say welcome
            return Refused(f"it speaks version {welcome.version} of the protocol, this is version {VERSION}")
        if self._incarnation and welcome.incarnation != self._incarnation:
            return Lost("the server restarted")
        if self._incarnation and not welcome.resumed:
            return Lost("the session expired")
        return Welcomed(
            incarnation=welcome.incarnation,
            received=welcome.received,
            max_in_flight=welcome.max_in_flight,
            max_payload=welcome.max_payload,
            resume_window=welcome.resume_window_ms / 1000,
            lane=welcome.lane,
        )


class ServerHandshake:
    """The server's side, for one stream.

    Args:
        incarnation: id of the server's run.
        limits: what it takes on.
        received: tells, of the session of an id, the number of the last packet that this side has; None when
            there is no such session.
        lane: name of the lane to offer; empty for none.
        only_resume: whether a session must be there already, as it must be on a lane.
    """

    def __init__(
        self,
        incarnation: str,
        limits: Limits,
        received: Callable[[str], int | None],
        *,
        lane: str = "",
        only_resume: bool = False,
    ) -> None:
        self._state = _State.WAITING
        self._incarnation = incarnation
        self._limits = limits
        self._received = received
        self._lane = lane
        self._only_resume = only_resume

    def receive(self, data: bytes | memoryview) -> Going | Greeted | Unknown | Refused:
        """The verdict on the client's message."""
        assert self._state is _State.WAITING  # noqa: S101 - see above
        self._state = _State.OVER
        try:
            packet, _ = decode(data)
        except ProtocolError as error:
            return Refused(str(error))
        hello = packet.hello
        if hello.version != VERSION:  # 0 where it did not say hello
            return Refused(f"the caller speaks version {hello.version} of the protocol, not {VERSION}")
        if not hello.session_id:
            return Refused("the caller's hello names no session")
        received = self._received(hello.session_id)
        if received is None and (hello.resume or self._only_resume):
            return Unknown(self._welcome(resumed=False, received=0))
        # The first hello of a session may come twice: its answer was lost with the stream.
        answer = self._welcome(resumed=received is not None, received=received or 0)
        return Greeted(hello.session_id, hello.received, hello.host, hello.pid, answer)

    def _welcome(self, *, resumed: bool, received: int) -> bytes:
        welcome = pb.Welcome(
            version=VERSION,
            incarnation=self._incarnation,
            resumed=resumed,
            received=received,
            max_in_flight=self._limits.max_in_flight_per_caller,
            max_payload=self._limits.max_payload,
            resume_window_ms=int(self._limits.resume_window * 1000),
            lane=self._lane,
        )
        return pb.Packet(welcome=welcome).SerializeToString()
