"""ClientSession: the caller's end of a session. Connects, reconnects, and knows what became of each call.

A session belongs to one incarnation of one server. When its stream breaks it comes back to that same
incarnation and resumes; when that is impossible it is closed for good, and each call fails either as
never received (`ServerUnavailableError`) or with unknown outcome (`ConnectionLostError`).
"""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
import grpc.aio

from iris_actor._proto import session_pb2 as pb
from iris_actor.address import Address
from iris_actor.deadline import Deadline
from iris_actor.errors import (
    AuthenticationError,
    BackpressureError,
    CallError,
    ConnectionLostError,
    PayloadTooLargeError,
    ProtocolError,
    ServerUnavailableError,
)
from iris_actor.retry import Backoff
from iris_actor.rpc.carrier import Carrier
from iris_actor.rpc.channel import CHANNEL_OPTIONS, CONNECT_METHOD
from iris_actor.rpc.connecting import connection_error, not_ours, open_channel
from iris_actor.rpc.credentials import Credentials
from iris_actor.rpc.io_thread import io_thread
from iris_actor.rpc.lane import Lane, connect_lane
from iris_actor.rpc.limits import RESUME_WINDOW, Limits
from iris_actor.rpc.outgoing_call import OutgoingCall
from iris_actor.rpc.protocol.client_calls import ClientCalls
from iris_actor.rpc.protocol.handshake import ClientHandshake, Going, Lost, Refused, Welcomed
from iris_actor.rpc.protocol.session_state import SessionState
from iris_actor.rpc.session_watch import SessionWatch
from iris_actor.rpc.transport.ended import ended_of
from iris_actor.rpc.transport.grpc_stream import GrpcStream
from iris_actor.rpc.waiters import Waiters

_CONNECT_TIMEOUT = 10.0
_KNOCK_TIMEOUT = 2.0
_RECONNECT = Backoff(first=0.02, most=1.0)
_GOODBYE_TIMEOUT = 0.5
_USABLE = frozenset({SessionState.NEW, SessionState.OPEN})


class ClientSession:
    """Calls to the server at `address`. Thread-safe.

    Args:
        address: ``host:port``.
        credentials: what the server asks for.
        on_close: called in the I/O thread, once, when the session is of no more use.

    Attributes:
        state: where it stands.
        draining: whether the server takes no more calls.
        error: why it is of no more use, once it is not.
    """

    def __init__(
        self,
        address: str,
        credentials: Credentials | None,
        on_close: Callable[[ClientSession], None] = lambda _: None,
    ) -> None:
        self.address = address
        self._address = Address.parse(address)
        self.state = SessionState.NEW
        self.draining = False
        self.error: CallError | None = None
        self._credentials = credentials
        self._on_close = on_close
        self._io = io_thread()
        self._id = uuid.uuid4().hex
        self._carrier = Carrier(self._io, self._packet)
        self._carrier.link.max_payload = Limits().max_payload
        self._capacity = Waiters()
        self._calls = ClientCalls(self._carrier.expect, self.cancel, self._capacity.wake)
        self._max_in_flight = Limits().max_in_flight_per_caller
        self._max_payload = Limits().max_payload
        self._resume_window = RESUME_WINDOW
        self._incarnation = ""
        self._lane = ""
        self._received_there = 0
        self._goodbye = ""
        self._broken = ""
        self._task: asyncio.Task[None] | None = None
        self._watch = SessionWatch(self._carrier, self._address, credentials, self._server_lost)
        self._io.call_soon(self._begin)

    # --- callers' side, any thread ------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Calls that wait for their outcome."""
        return len(self._calls.open)

    @property
    def usable(self) -> bool:
        """Whether a new call would go out without waiting for a reconnection, or for a drained server."""
        return self.state in _USABLE and not self.draining

    @property
    def full(self) -> bool:
        """Whether as many calls are in flight as the server allows this caller."""
        return len(self._calls.open) >= self._max_in_flight and self.error is None

    def wait_capacity(self, deadline: Deadline, given_up: Callable[[], bool]) -> bool:
        """Block until the session is not full, or `given_up()`; False when the deadline passed before."""
        return self._capacity.wait(lambda: not self.full or given_up(), deadline)

    async def wait_capacity_async(self, deadline: Deadline, given_up: Callable[[], bool]) -> bool:
        """As `wait_capacity`, for asyncio."""
        return await self._capacity.wait_async(lambda: not self.full or given_up(), deadline)

    def wake(self) -> None:
        """Have those that wait for room look again."""
        self._capacity.wake()

    def start(self, call: OutgoingCall) -> None:
        """Send `call`. Its outcome, also a failure to send it, arrives at its own methods.

        Raises:
            BackpressureError: the session is full.
        """
        if self.full:
            message = f"{len(self._calls.open)} calls are in flight to {self.address}"
            raise BackpressureError.of(call.target, message)
        body = call.body
        size = body.nbytes if body.buffers else len(body.data)
        if size > self._max_payload:
            call.failed(
                PayloadTooLargeError.of(
                    call.target,
                    f"the arguments take {size} bytes, over the limit of {self._max_payload} that"
                    f" {self.address} sets (Limits.max_payload)",
                )
            )
            return
        deadline = call.deadline
        fields = self._calls.add(call, None if deadline is None else deadline.timeout)
        transfer = self._carrier.queue_body("calls", fields, body)
        if transfer is not None:
            call.transfer = transfer
        self._carrier.flush(eager=call.eager)
        if self.error is not None and self._calls.remove(call):
            # The session closed between our look and the insertion, and never saw this call.
            call.failed(ServerUnavailableError.of(call.target, str(self.error)))

    def cancel(self, call: OutgoingCall) -> None:
        """Stop caring for `call`, and tell the server. Nothing is reported to the call any more."""
        if self._calls.remove(call):
            self._capacity.wake()
            if call.transfer is not None:
                call.transfer.cancelled = True
            self._carrier.send("cancels", {"id": call.id})
            self._io.call_soon(lambda: self._forget(call))

    def _forget(self, call: OutgoingCall) -> None:
        for transfer in call.arriving:
            self._carrier.link.forget(transfer)

    def grant(self, call: OutgoingCall, items: int) -> None:
        """Let the server send `items` more of a stream."""
        self._carrier.send("credits", {"id": call.id, "items": items})

    def doubt(self, announced: Callable[[], bool]) -> None:
        """The server is no longer announced: end the session if it gives no sign of life either.

        Args:
            announced: tells, in the I/O thread, whether it is announced again.
        """
        self._io.call_soon(partial(self._watch.begin, announced))

    def close(self, reason: str = "the caller closed the session") -> None:
        """End the session: calls in flight are cancelled at the server and fail here. Idempotent."""
        self._io.call_soon(lambda: self._request_close(reason))

    async def close_and_wait(self) -> None:
        """As `close`; returns when it is done. In the I/O thread."""
        self._request_close("the caller's process is exiting")
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_GOODBYE_TIMEOUT)

    # --- lifetime, in the I/O thread ----------------------------------------------------------------

    def _begin(self) -> None:
        self._task = self._io.loop.create_task(self._run())

    def _request_close(self, reason: str) -> None:
        if self._task is not None and self.error is None:
            self._goodbye = reason
            if self._carrier.attached:
                self._carrier.send("goodbye", {"reason": reason})
                self._carrier.when_flushed(self._cancel_task)
                self._io.loop.call_later(_GOODBYE_TIMEOUT, self._task.cancel)
            else:
                self._task.cancel()

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _server_lost(self) -> None:
        self._goodbye = "its server is no longer announced, and gives no sign of life"
        self._cancel_task()

    async def _run(self) -> None:
        error: CallError
        try:
            await self._live()
            error = ServerUnavailableError(f"session with {self.address} ended")
        except asyncio.CancelledError:
            error = ServerUnavailableError(f"session with {self.address} was closed: {self._goodbye}")
        except CallError as caught:
            error = caught
        except Exception as caught:
            error = ProtocolError(f"session with {self.address} failed: {type(caught).__name__}: {caught}")
        self._finish(error)

    async def _live(self) -> None:
        give_up = Deadline.after(_CONNECT_TIMEOUT)
        attempt = 0
        while True:
            if await self._one_stream():
                give_up = Deadline.after(self._resume_window)
                attempt = 0
            else:
                error = await connection_error(self._address, self._credentials, self._broken)
                # A server that was there may come back, unless something else has its port now.
                if self.state is SessionState.NEW or not isinstance(error, ServerUnavailableError):
                    raise error
            if give_up.passed:
                raise ServerUnavailableError(f"lost the connection to {self.address}: {self._broken}")
            await asyncio.sleep(min(_RECONNECT.delay(attempt), give_up.remaining))
            attempt += 1
            await self._knock()

    async def _knock(self) -> None:
        # A server holds its port for as long as it lives, so a refusal means that it is gone: there is
        # no need to wait for the window to pass. gRPC's own error does not tell a refusal from the rest.
        for one in self._address.candidates:
            try:
                _, writer = await asyncio.wait_for(
                    asyncio.open_connection(one.host, one.port), _KNOCK_TIMEOUT
                )
            except ConnectionRefusedError:
                continue
            except (OSError, TimeoutError):
                return  # says nothing: the next attempt tells
            writer.close()
            return
        raise ServerUnavailableError(f"lost the connection to {self.address}, where nothing listens any more")

    async def _one_stream(self) -> bool:
        """Connect and carry packets until the stream breaks; whether it ever carried any."""
        credentials = self._credentials
        attached = False
        async with open_channel(self._address, credentials, CHANNEL_OPTIONS) as channel:
            stream = channel.stream_stream(CONNECT_METHOD)(
                metadata=credentials.metadata() if credentials else None
            )
            try:
                await asyncio.wait_for(self._greet(stream), _CONNECT_TIMEOUT)
                attached = True
                self._broken = "the server ended the stream"
                if not await self._over_lane(stream):
                    await self._over_stream(stream)
            except TimeoutError:
                self._broken = f"no answer within {_CONNECT_TIMEOUT:g} s"
            except grpc.aio.AioRpcError as error:
                self._broken = self._examine(error)
            finally:
                stream.cancel()
                if attached:
                    self.state = self.state.to(SessionState.PARKED)
        return attached

    async def _over_stream(self, call: Any) -> None:
        """Carry packets over gRPC until that ends."""
        stream = GrpcStream(call)
        ended = ended_of(stream)
        self._carrier.attach(stream, self._received_there)
        stream.start()
        try:
            await ended
        finally:
            self._carrier.detach(stream)
            stream.close()

    async def _over_lane(self, call: Any) -> bool:
        """Carry packets over the server's lane until that or `call` ends. False: there is none."""
        sock = connect_lane(self._lane)
        if sock is None:
            return False
        lane = Lane(self._io, sock)
        ended = ended_of(lane)
        welcomed: asyncio.Future[None] = self._io.loop.create_future()
        watch: asyncio.Future[None] | None = None
        first = asyncio.FIRST_COMPLETED

        def on_first(data: bytes | memoryview) -> None:
            self._welcomed(handshake, data)
            self._carrier.attach(lane, self._received_there)
            welcomed.set_result(None)

        lane.on_message = on_first
        try:
            lane.start()
            handshake = self._handshake()
            lane.send(handshake.begin())
            await asyncio.wait({welcomed, ended}, timeout=_CONNECT_TIMEOUT, return_when=first)
            if not welcomed.done():
                if ended.done():
                    ended.result()
                    return False  # it does not know us, so it is not the server's
                raise TimeoutError
            watch = self._io.loop.create_task(_read_to_end(call))
            await asyncio.wait({ended, watch}, return_when=first)
            for end in (ended, watch):
                if end.done():
                    end.result()
        finally:
            self._carrier.detach(lane)
            lane.close()
            if watch is not None:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
        return True

    def _handshake(self) -> ClientHandshake:
        return ClientHandshake(
            self._id,
            self._incarnation,
            self._carrier.link.received,
            host=socket.gethostname(),
            pid=os.getpid(),
        )

    async def _greet(self, call: Any) -> None:
        handshake = self._handshake()
        await call.write(handshake.begin())
        while True:
            data = await call.read()
            if data is grpc.aio.EOF:
                raise ServerUnavailableError(f"{self.address} ended the session before it began")
            answer = self._welcomed(handshake, data)
            if answer is None:
                return
            await call.write(answer)

    def _welcomed(self, handshake: ClientHandshake, data: bytes | memoryview) -> bytes | None:
        """Take the server's next message of the handshake; returns what is to be answered, None at its end.

        Raises:
            ServerUnavailableError: the session cannot go on there.
            ProtocolError: the server does not keep the protocol.
        """
        match handshake.receive(data):
            case Going(answer):
                return answer
            case Lost(reason):
                raise ServerUnavailableError(f"lost the connection to {self.address}: {reason}")
            case Refused(reason):
                raise ProtocolError(f"{self.address} does not keep the protocol: {reason}")
            case Welcomed() as welcome:
                self.state = self.state.to(SessionState.OPEN)
                self._incarnation = welcome.incarnation
                self._max_in_flight = welcome.max_in_flight
                self._max_payload = welcome.max_payload
                self._resume_window = welcome.resume_window
                self._lane = welcome.lane
                self._received_there = welcome.received
        return None

    def _examine(self, error: grpc.aio.AioRpcError) -> str:
        """Raise what no other attempt would mend; else the reason why the stream broke."""
        code = error.code()
        details = error.details() or code.name
        if code in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}:
            raise AuthenticationError(f"{self.address} refused the caller: {details}") from error
        if code is grpc.StatusCode.UNIMPLEMENTED:
            raise not_ours(self._address, details) from error
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            raise ProtocolError(f"{self.address}: {details}") from error
        return f"{code.name}: {details}"

    def _finish(self, error: CallError) -> None:
        self.error = error
        self._watch.end()
        was_open = self.state is not SessionState.NEW
        self.state = self.state.to(SessionState.CLOSED)
        unsent = {fields["id"] for fields in self._carrier.close()}
        self._on_close(self)
        final = not isinstance(error, ServerUnavailableError)
        for call in self._calls.end():
            never_received = call.id in unsent or not was_open
            if final and never_received:
                call.failed(type(error).of(call.target, str(error)))
            elif never_received:
                call.failed(ServerUnavailableError.of(call.target, str(error)))
            else:
                call.failed(ConnectionLostError.of(call.target, f"{error}; the call may have run"))
        self._capacity.wake()

    # --- frames, in the I/O thread ------------------------------------------------------------------

    def _packet(self, packet: pb.Packet) -> None:
        self._calls.take(packet)
        if packet.HasField("drain"):
            self.draining = True
        if packet.HasField("goodbye"):
            raise ServerUnavailableError(f"{self.address} closed the session: {packet.goodbye.reason}")


async def _read_to_end(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass  # sent before the lane took over, and sent again there
