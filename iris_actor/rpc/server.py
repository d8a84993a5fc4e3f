"""RpcServer: a bound port, the gRPC services behind it, and the sessions that callers hold.

Shutdown order: refuse new calls (drain) and tell callers, wait for what was accepted, let the replies be
acknowledged, say goodbye, close the sessions, stop gRPC.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from iris_actor._proto import session_pb2 as pb
from iris_actor.address import Address
from iris_actor.deadline import Deadline
from iris_actor.errors import InsecureServerError, ProtocolError
from iris_actor.rpc.binding import bound_server
from iris_actor.rpc.channel import ACTORS_SERVICE, SERVER_OPTIONS, SESSION_SERVICE
from iris_actor.rpc.credentials import Credentials, server_credentials
from iris_actor.rpc.incoming_call import Caller
from iris_actor.rpc.io_thread import io_thread
from iris_actor.rpc.json_call import JsonCall
from iris_actor.rpc.lane import Lane, lanes_are_on
from iris_actor.rpc.lane_server import LaneServer
from iris_actor.rpc.limits import Limits
from iris_actor.rpc.protocol.handshake import Going, Greeted, Refused, ServerHandshake, Unknown
from iris_actor.rpc.protocol.session_state import SessionState
from iris_actor.rpc.refusals import Refusals
from iris_actor.rpc.server_session import Dispatcher, ServerLoad, ServerSession
from iris_actor.rpc.transport.ended import end, ended_of
from iris_actor.rpc.transport.grpc_stream import GrpcStream

_HELLO_TIMEOUT = 10.0
_FLUSH_TIMEOUT = 2.0
_STREAMS_END = 0.2
"""Seconds that streams and unary calls may take to end when the server stops; most take none."""


def _is_news(record: logging.LogRecord) -> bool:
    """Whether what gRPC logs is more than that a connection broke between its layers."""
    return not (record.exc_info and isinstance(record.exc_info[1], grpc.aio.InternalError))


class RpcServer:
    """Serves a dispatcher's calls on one port. Its methods may be called from any thread.

    Args:
        dispatcher: who runs the calls.
        address: what to bind; port 0 lets the kernel choose.
        credentials: what callers must show; None lets everybody in that can connect.
        insecure: allow `address` to be reachable from elsewhere without credentials.
        limits: how much to take on.

    Raises:
        InsecureServerError: (a ValueError) for a host beyond loopback without credentials.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        address: Address,
        credentials: Credentials | None,
        insecure: bool,
        limits: Limits,
    ) -> None:
        if credentials is None and not insecure and not address.is_loopback:
            raise InsecureServerError(address.host)
        self.incarnation = uuid.uuid4().hex
        self.port = address.port
        self._bind = address
        self._dispatcher = dispatcher
        self._credentials = credentials
        self._limits = limits
        self._load = ServerLoad(limits)
        self._sessions: dict[str, ServerSession] = {}
        self._server: Any = None
        self._lanes: LaneServer | None = None
        self._refusals = Refusals(dispatcher.refused)
        self._health = health.aio.HealthServicer()
        self._io = io_thread()

    @property
    def in_flight(self) -> int:
        """Calls that are queued or running."""
        return len(self._load.calls)

    def start(self) -> int:
        """Bind and serve; returns the bound port.

        Raises:
            AddressInUseError: (an OSError) the port is taken.
            AddressUnusableError: (an OSError) the address cannot be bound for another reason.
            ValueError, OSError: a file of the credentials is missing, or cannot be read.
        """
        self.port = self._io.run(self._start()).result()
        return self.port

    async def _start(self) -> int:
        logging.getLogger("grpc._cython.cygrpc").addFilter(_is_news)
        credentials = self._credentials
        tls = server_credentials(credentials) if credentials is not None and credentials.uses_tls else None

        def add_port(server: Any, target: str) -> int:
            if tls is None:
                port = int(server.add_insecure_port(target))
            else:
                port = int(server.add_secure_port(target, tls))
            if port == 0:  # how older versions of gRPC say so
                raise RuntimeError(f"gRPC cannot bind {target}")
            return port

        server, port = await bound_server(self._bind, self._new_server, add_port)
        await server.start()
        for name in ("", SESSION_SERVICE, ACTORS_SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._server = server
        if lanes_are_on():
            self._lanes = LaneServer(self._io, self._take_lane, _HELLO_TIMEOUT)
        return port

    def _new_server(self) -> Any:
        interceptors = [_Gate(self._credentials, self._refusals)] if self._credentials else []
        server = grpc.aio.server(options=SERVER_OPTIONS, interceptors=interceptors)
        server.add_generic_rpc_handlers((self._handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (SESSION_SERVICE, ACTORS_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        return server

    def _handlers(self) -> grpc.GenericRpcHandler:
        handlers = {
            f"/{SESSION_SERVICE}/Connect": grpc.stream_stream_rpc_method_handler(self._connect),
            f"/{ACTORS_SERVICE}/Call": grpc.unary_unary_rpc_method_handler(
                self._call, pb.CallRequest.FromString, pb.CallResponse.SerializeToString
            ),
            f"/{ACTORS_SERVICE}/Describe": grpc.unary_unary_rpc_method_handler(
                self._describe, pb.DescribeRequest.FromString, pb.DescribeResponse.SerializeToString
            ),
        }

        class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
            def service(self, details: grpc.HandlerCallDetails) -> Any:
                return handlers.get(details.method)

        return Handlers()

    # --- sessions -----------------------------------------------------------------------------------

    async def _connect(self, _requests: Any, context: Any) -> None:
        # gRPC keeps the error of an abort, and with it the frames that it came through: only this one.
        refusal = await self._serve_stream(context)
        if refusal is not None:
            self._refusals.note(context.peer(), refusal)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, refusal)

    async def _serve_stream(self, context: Any) -> str | None:
        """Carry a session over one stream until it ends; returns what the caller did wrong, if anything."""
        lane = "" if self._lanes is None else self._lanes.name
        handshake = self._handshake(lane=lane)
        try:
            while True:
                data = await asyncio.wait_for(context.read(), _HELLO_TIMEOUT)
                if data is grpc.aio.EOF:
                    return None
                match handshake.receive(data):
                    case Going(answer):
                        await context.write(answer)
                    case Refused(reason):
                        return reason
                    case Unknown(answer):
                        await context.write(answer)
                        return None
                    case Greeted() as greeted:
                        await self._carry(self._session(greeted), greeted, context)
                        return None
        except TimeoutError:
            return "no hello"
        except grpc.aio.InternalError:
            return None  # the connection broke between gRPC's layers
        except ProtocolError as error:
            return str(error)

    def _handshake(self, *, lane: str = "", only_resume: bool = False) -> ServerHandshake:
        return ServerHandshake(
            self.incarnation, self._limits, self._received, lane=lane, only_resume=only_resume
        )

    def _received(self, session_id: str) -> int | None:
        session = self._sessions.get(session_id)
        return None if session is None else session.carrier.link.received

    def _session(self, greeted: Greeted) -> ServerSession:
        session = self._sessions.get(greeted.session_id)
        if session is None:
            caller = Caller(greeted.host, greeted.pid)
            session = ServerSession(self._io, caller, self._dispatcher, self._load)
            self._sessions[greeted.session_id] = session
        return session

    async def _carry(self, session: ServerSession, greeted: Greeted, context: Any) -> None:
        carrier = session.carrier
        session.abort_stream()  # a stream that the caller gave up, but this side still believes in
        stream = GrpcStream(context)
        ended = ended_of(stream)
        session.abort_stream = partial(end, ended)
        session.stream = stream
        session.leave_lane()
        try:
            carrier.attach(stream, greeted.received)
            session.opened()
            # The caller may come over the lane before this returns.
            await context.write(greeted.answer)
            if self._load.draining:
                carrier.send("drain", {})
            stream.start()
            await ended
        except ProtocolError:
            session.close()
            raise
        except asyncio.CancelledError:
            pass  # the connection broke
        finally:
            stream.close()
            carrier.detach(stream)
            if session.stream is stream:
                session.leave_lane()
            # Another stream may have taken over, or be about to: then it ends the parking again.
            if not carrier.attached:
                self._park(greeted.session_id, session)

    def _take_lane(self, lane: Lane, data: bytes | memoryview) -> None:
        verdict = self._handshake(only_resume=True).receive(data)
        session = self._sessions.get(verdict.session_id) if isinstance(verdict, Greeted) else None
        if session is None or session.stream is None or not isinstance(verdict, Greeted):
            lane.close()
        else:
            session.take_lane(lane, verdict.answer, verdict.received)

    def _park(self, number: str, session: ServerSession) -> None:
        if session.state is SessionState.CLOSED:
            self._sessions.pop(number, None)
            return

        def expire() -> None:
            self._sessions.pop(number, None)
            session.close()

        session.park(self._limits.resume_window, expire)

    # --- unary calls --------------------------------------------------------------------------------

    async def _call(self, request: pb.CallRequest, context: Any) -> pb.CallResponse:
        load = self._load
        response: asyncio.Future[pb.CallResponse] = self._io.loop.create_future()
        call = JsonCall(request, Caller(context.peer(), 0), load, self._io, response)
        refusal = "the server is draining" if load.draining else load.refusal(0, 0)
        if refusal is not None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, refusal)
        load.calls.add(call)
        self._dispatcher.dispatch(call)
        try:
            return await asyncio.wait_for(response, request.timeout or None)
        except TimeoutError:
            return call.late()
        finally:
            call.close()

    async def _describe(self, request: pb.DescribeRequest, _context: Any) -> pb.DescribeResponse:
        actors = self._dispatcher.describe(request.actor)
        return pb.DescribeResponse(incarnation=self.incarnation, actors=actors)

    # --- the end ------------------------------------------------------------------------------------

    def drain(self, timeout: float | None) -> bool:
        """Refuse new calls and wait for the accepted ones; whether all of them ended within `timeout`.

        Idempotent. Callers that know the server is draining go elsewhere.
        """
        return self._io.run(self._drain(Deadline.of(timeout))).result()

    async def _drain(self, deadline: Deadline) -> bool:
        load = self._load
        if not load.draining:
            load.draining = True
            await self._health.enter_graceful_shutdown()
            for session in self._sessions.values():
                session.carrier.send("drain", {})
        idle = asyncio.Event()
        load.on_idle.append(lambda: self._io.call_soon(idle.set))
        if not load.calls:
            idle.set()
        if not await _within(idle.wait, deadline):
            return False
        return await self._flush(Deadline.after(min(deadline.remaining, _FLUSH_TIMEOUT)))

    async def _flush(self, deadline: Deadline) -> bool:
        async def flushed(session: ServerSession) -> None:
            event = asyncio.Event()
            session.carrier.when_flushed(event.set)
            await event.wait()

        attached = [session for session in self._sessions.values() if session.carrier.attached]
        return await _within(lambda: asyncio.gather(*map(flushed, attached)), deadline)

    def stop(self, reason: str = "the server is stopping") -> None:
        """End everything now: what still runs is cancelled, its callers get an error. Idempotent."""
        self._io.run(self._stop(reason)).result()

    async def _stop(self, reason: str) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        self._load.draining = True
        for session in list(self._sessions.values()):
            session.carrier.send("goodbye", {"reason": reason})
        await self._flush(Deadline.after(_FLUSH_TIMEOUT / 4))
        for session in list(self._sessions.values()):
            session.close()
            session.abort_stream()
        self._sessions.clear()
        if self._lanes is not None:
            self._lanes.close()
        # Streams that have ended by themselves are not aborted by gRPC, which would log each of them.
        await server.stop(grace=_STREAMS_END)


async def _within(start: Callable[[], Awaitable[object]], deadline: Deadline) -> bool:
    try:
        await asyncio.wait_for(start(), deadline.timeout)
    except TimeoutError:
        return False
    return True


class _Gate(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Turns away callers without the token, whatever they call, before a byte of theirs is read."""

    def __init__(self, credentials: Credentials, refusals: Refusals) -> None:
        self._credentials = credentials

        async def refuse(_request: Any, context: Any) -> None:
            refusals.note(context.peer(), "wrong or missing token")
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "wrong or missing token")

        self._unary = grpc.unary_unary_rpc_method_handler(refuse)
        self._stream = grpc.stream_stream_rpc_method_handler(refuse)

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        if self._credentials.admits(details.invocation_metadata):
            return await continuation(details)
        handler = await continuation(details)
        streams = handler is not None and handler.request_streaming
        return self._stream if streams else self._unary
