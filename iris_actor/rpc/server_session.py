"""ServerSession: the serving end of a session, with the calls that came over it.

It outlives its stream for a while: a caller whose connection broke comes back with the session's id,
finds its calls still running, and gets the replies that it missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from iris_actor._proto import session_pb2 as pb
from iris_actor.codec import Body
from iris_actor.errors import PayloadTooLargeError
from iris_actor.rpc.carrier import Carrier
from iris_actor.rpc.incoming_call import Caller, IncomingCall, SessionCall
from iris_actor.rpc.io_thread import IOThread
from iris_actor.rpc.lane import Lane
from iris_actor.rpc.limits import COUNTED, MAX_MESSAGE, Limits
from iris_actor.rpc.outgoing_call import Status
from iris_actor.rpc.protocol.link import Fields
from iris_actor.rpc.protocol.server_calls import ServerCalls
from iris_actor.rpc.protocol.session_state import SessionState
from iris_actor.rpc.transport.stream import Stream


class Dispatcher(Protocol):
    """Who runs calls: the actor layer."""

    def dispatch(self, call: IncomingCall) -> None:
        """Take a call whose body has arrived. In the I/O thread: must neither block nor raise."""

    def describe(self, actor: str) -> list[pb.ActorDescription]:
        """The hosted actors, or the one that is named. In the I/O thread."""

    def refused(self, host: str, reason: str) -> None:
        """A caller on `host` was turned away. In the I/O thread: must neither block nor raise."""


class ServerLoad:
    """What a server has taken on, over all its sessions. Counted in the I/O thread but for `finished`."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.calls: set[IncomingCall] = set()
        self.pending_bytes: dict[IncomingCall, int] = {}
        self.draining = False
        self.on_idle: list[Callable[[], None]] = []

    def too_large(self, size: int) -> str | None:
        """Why a body of `size` bytes can never be taken on; None if it can."""
        limits = self.limits
        if size > limits.max_payload:
            return f"{size} bytes are over the limit of {limits.max_payload} (Limits.max_payload)"
        if size > limits.max_pending_bytes:
            return f"{size} bytes are over the limit of {limits.max_pending_bytes} (Limits.max_pending_bytes)"
        return None

    def refusal(self, in_flight: int, size: int) -> str | None:
        """Why one more call with a large body of `size` bytes cannot be taken on now; None if it can."""
        limits = self.limits
        if in_flight >= limits.max_in_flight_per_caller:
            return f"{in_flight} calls of this caller are in flight (Limits.max_in_flight_per_caller)"
        if len(self.calls) >= limits.max_in_flight:
            return f"{len(self.calls)} calls are in flight on the server (Limits.max_in_flight)"
        if size and sum(self.pending_bytes.values()) + size > limits.max_pending_bytes:
            return f"{size} more bytes would be pending on the server (Limits.max_pending_bytes)"
        return None

    def finished(self, call: IncomingCall) -> None:
        """`call` is over. Any thread."""
        self.calls.discard(call)
        if self.pending_bytes:
            self.pending_bytes.pop(call, None)
        if self.draining and not self.calls:
            for callback in self.on_idle:
                callback()


class ServerSession:
    """One caller's session. Its methods are called in the I/O thread, but for `answer` and `send_item`.

    Attributes:
        state: where it stands.
        caller: whose it is.
        carrier: moves its packets.
        calls: those that have no outcome yet.
        stream: the gRPC stream that it came over last.
        abort_stream: ends that.
        lane: the lane that carries it, if one does.
    """

    def __init__(self, io: IOThread, caller: Caller, dispatcher: Dispatcher, load: ServerLoad) -> None:
        self.state = SessionState.NEW
        self.caller = caller
        self.carrier = Carrier(io, self._packet)
        self.carrier.link.max_payload = load.limits.max_payload
        self.calls: ServerCalls[SessionCall] = ServerCalls(self._call, self._cancelled)
        self.abort_stream: Callable[[], None] = lambda: None
        self.stream: Stream | None = None
        self.lane: Lane | None = None
        self._io = io
        self._dispatcher = dispatcher
        self._load = load
        self._expiry: asyncio.TimerHandle | None = None

    def opened(self) -> None:
        """A stream carries the session."""
        self.state = self.state.to(SessionState.OPEN)
        self._stays()

    def park(self, seconds: float, expire: Callable[[], None]) -> None:
        """No stream carries it: `expire()` is called unless another one does within so many seconds."""
        self.state = self.state.to(SessionState.PARKED)
        self._stays()
        self._expiry = self._io.loop.call_later(seconds, expire)

    def _stays(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def close(self) -> None:
        """Cancel what runs and forget the session."""
        self.state = self.state.to(SessionState.CLOSED)
        self._stays()
        self.carrier.close()
        self.leave_lane()
        self.calls.end()

    def take_lane(self, lane: Lane, welcome: bytes, received: int) -> None:
        """Go on over `lane`, beside the stream that brought its name.

        Args:
            lane: whose other side has said who it is.
            welcome: what it is told.
            received: number of the last packet that it has.
        """
        self.leave_lane()
        self.lane = lane

        def on_end(error: Exception | None) -> None:
            if error is not None:
                self.close()
            self.leave_lane()
            self.abort_stream()  # the caller comes back with another one

        lane.on_end = on_end
        lane.limit = MAX_MESSAGE
        lane.send(welcome)
        self.carrier.attach(lane, received)
        self.opened()

    def leave_lane(self) -> None:
        """Close the lane, if there is one; the caller comes back."""
        lane, self.lane = self.lane, None
        if lane is not None:
            self.carrier.detach(lane)
            lane.close()

    # --- outcomes, from any thread ------------------------------------------------------------------

    def answer(self, call: SessionCall, fields: Fields, body: Body | None) -> None:
        """Send the outcome of `call`, unless it has one already or was cancelled."""
        if self.calls.remove(call.id) is None:
            return
        call.finished = True
        try:
            if body is None:
                self.carrier.link.queue("replies", fields)
            else:
                self._queue_body("replies", fields, call, body)
            # Before it goes out: who has the answer may ask how many calls are left.
            self._load.finished(call)
            # With others to answer the I/O thread sends it, together with theirs.
            self.carrier.flush(eager=call.eager and not self.calls)
        except BaseException:
            # For lack of memory, say. It may be sent in part, so that another outcome is one too many, which
            # the caller ignores; but with none it would wait for ever.
            self.calls.put_back(call)
            call.finished = False
            raise

    def send_item(self, call: SessionCall, body: Body) -> None:
        """Send one item of the stream of `call`."""
        self._queue_body("items", {"id": call.id}, call, body)
        self.carrier.flush()

    def _queue_body(self, kind: str, fields: Fields, call: SessionCall, body: Body) -> None:
        # The method may go on changing what it returned.
        transfer = self.carrier.queue_body(kind, fields, body, copy=True)
        if transfer is not None:
            self._io.call_soon(partial(self.calls.sending, call.id, transfer))

    # --- frames -------------------------------------------------------------------------------------

    def _packet(self, packet: pb.Packet) -> None:
        self.calls.take(packet)
        if packet.HasField("goodbye"):
            self.close()
            self.abort_stream()

    def _call(self, frame: pb.Call) -> None:
        load = self._load
        call = SessionCall(self, frame, load.limits.max_payload)
        data = frame.data
        size = len(data) if data else sum(frame.parts.sizes)
        if size < COUNTED:
            size = 0
        too_large = load.too_large(size) if size else None
        refusal = load.refusal(len(self.calls), size)
        self.calls.add(call)
        load.calls.add(call)
        if load.draining:
            call.send_failure(Status.DRAINING, "the server is draining", may_have_run=False)
        elif too_large is not None:
            call.send_failure(Status.TOO_LARGE, too_large, may_have_run=False)
        elif refusal is not None:
            call.send_failure(Status.BACKPRESSURE, refusal, may_have_run=False)
        else:
            if size:
                load.pending_bytes[call] = size
            self._receive(call, frame, data)

    def _receive(self, call: SessionCall, frame: pb.Call, data: bytes) -> None:
        if data:
            call.body = Body(data)
            self._dispatcher.dispatch(call)
        else:
            call.on_cancel = partial(self.carrier.link.forget, frame.parts.transfer)
            try:
                self.carrier.expect(frame.parts.transfer, frame.parts.sizes, partial(self._arrived, call))
            except PayloadTooLargeError as error:
                call.send_failure(Status.TOO_LARGE, str(error), may_have_run=False)

    def _arrived(self, call: SessionCall, body: Body) -> None:
        if not call.cancelled:
            call.on_cancel = None
            call.body = body
            self._dispatcher.dispatch(call)

    def _cancelled(self, call: SessionCall) -> None:
        call.cancel()
        self._load.finished(call)
