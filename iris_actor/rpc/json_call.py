"""JsonCall: a unary call with JSON arguments, for callers that have no pickle. Serving and calling side."""

from __future__ import annotations

import asyncio
import traceback
from types import TracebackType
from typing import Any

import grpc
import grpc.aio

from iris_actor._proto import session_pb2 as pb
from iris_actor.address import Address
from iris_actor.codec import dump_json, exception_text, load_json
from iris_actor.deadline import Deadline
from iris_actor.errors import (
    AuthenticationError,
    CallError,
    DeadlineExceededError,
    ProtocolError,
    RemoteError,
    SerializationError,
)
from iris_actor.rpc.channel import CALL_METHOD, CHANNEL_OPTIONS, DESCRIBE_METHOD
from iris_actor.rpc.connecting import connection_error, not_ours, open_channel
from iris_actor.rpc.credentials import Credentials
from iris_actor.rpc.incoming_call import Caller, IncomingCall
from iris_actor.rpc.io_thread import IOThread, io_thread
from iris_actor.rpc.outgoing_call import Status, failure
from iris_actor.rpc.server_session import ServerLoad
from iris_actor.rpc.unsendable import why_unsendable


class JsonCall(IncomingCall):
    """The serving side: arguments from JSON, the result to JSON."""

    __slots__ = ("_args", "_io", "_kwargs", "_load", "_response")

    def __init__(
        self,
        request: pb.CallRequest,
        caller: Caller,
        load: ServerLoad,
        io: IOThread,
        response: asyncio.Future[pb.CallResponse],
    ) -> None:
        deadline = Deadline.after(request.timeout) if request.timeout else None
        super().__init__(request.actor, "", request.method, caller, deadline=deadline)
        self._args = request.args_json
        self._kwargs = request.kwargs_json
        self._load = load
        self._io = io
        self._response = response

    def take_arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args = load_json(self._args.encode(), "args_json") if self._args else []
        kwargs = load_json(self._kwargs.encode(), "kwargs_json") if self._kwargs else {}
        if not isinstance(args, list):
            raise SerializationError(f"args_json must be a JSON array, got {type(args).__name__}")
        if not isinstance(kwargs, dict):
            raise SerializationError(f"kwargs_json must be a JSON object, got {type(kwargs).__name__}")
        return tuple(args), kwargs

    def send_result(self, value: Any) -> None:
        try:
            text = dump_json(value).decode()
        except SerializationError as error:
            why = why_unsendable(self.method, value, error)
            self.send_failure(Status.SERIALIZATION, f"its result: {why}", may_have_run=True)
        else:
            self._send(pb.CallResponse(result_json=text))

    def send_exception(self, error: BaseException, *, skip: TracebackType | None = None) -> None:
        shown = error.__traceback__ if skip is None else skip.tb_next
        text = "".join(traceback.format_exception(type(error), error, shown))
        fields = {
            "error_type": type(error).__name__,
            "error_message": exception_text(error),
            "error_traceback": text,
        }
        self._send(pb.CallResponse(status=pb.EXCEPTION, **fields))

    def send_failure(self, status: Status, message: str, *, may_have_run: bool) -> None:  # noqa: ARG002
        self._send(pb.CallResponse(status=status.value, error_type=status.name, error_message=message))

    def late(self) -> pb.CallResponse:
        """The response when the deadline passed."""
        return pb.CallResponse(
            status=pb.DEADLINE_EXCEEDED,
            error_type=Status.DEADLINE_EXCEEDED.name,
            error_message="the deadline passed",
        )

    def close(self) -> None:
        """The response is out, or nobody waits for it. In the I/O thread."""
        if not self.finished:
            self.finished = True
            self._load.finished(self)
            self.cancel()

    def _send(self, response: pb.CallResponse) -> None:
        def send() -> None:
            if not self._response.done():
                self._response.set_result(response)

        self.finished = True
        self._load.finished(self)
        self._io.call_soon(send)


def call_json(
    address: str,
    actor: str,
    method: str,
    args_json: str = "",
    kwargs_json: str = "",
    *,
    timeout: float | None = None,
    credentials: Credentials | None = None,
) -> str:
    """Call `method` of `actor` at `address` with JSON arguments; returns the result's JSON text. Blocks.

    Args:
        address: ``host:port`` of the server.
        actor: actor name.
        method: method name.
        args_json: JSON array of positional arguments.
        kwargs_json: JSON object of keyword arguments.
        timeout: seconds after which the call is given up.
        credentials: what the server asks for.

    Raises:
        RemoteError: the method raised.
        CallError: one of its kinds, when there is no outcome.
        InvalidAddressError: (a ValueError) `address` is none.
    """
    request = pb.CallRequest(
        actor=actor, method=method, args_json=args_json, kwargs_json=kwargs_json, timeout=timeout or 0.0
    )
    target = f"{actor}.{method}"
    response = _unary(address, CALL_METHOD, request, pb.CallResponse, target, timeout, credentials)
    if response.status == pb.OK:
        return str(response.result_json)
    if response.status == pb.EXCEPTION:
        raise RemoteError(response.error_type, response.error_message, response.error_traceback)
    raise failure(target, response.status, response.error_message, may_have_run=True)


def describe(
    address: str, actor: str = "", *, timeout: float | None = None, credentials: Credentials | None = None
) -> pb.DescribeResponse:
    """The actors of the server at `address`, or the one that is named. Blocks.

    Raises:
        CallError: one of its kinds, when the server cannot be asked.
        InvalidAddressError: (a ValueError) `address` is none.
    """
    request = pb.DescribeRequest(actor=actor)
    response: pb.DescribeResponse = _unary(
        address, DESCRIBE_METHOD, request, pb.DescribeResponse, actor or address, timeout, credentials
    )
    return response


def _unary(
    address: str,
    path: str,
    request: Any,
    response_type: Any,
    target: str,
    timeout: float | None,
    credentials: Credentials | None,
) -> Any:
    where = Address.parse(address)

    async def ask() -> Any:
        async with open_channel(where, credentials, CHANNEL_OPTIONS) as channel:
            stub = channel.unary_unary(
                path,
                request_serializer=type(request).SerializeToString,
                response_deserializer=response_type.FromString,
            )
            metadata = credentials.metadata() if credentials else None
            try:
                return await stub(request, timeout=timeout, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                translated = _translated(error, where)
                if translated is None:
                    said = error.details() or error.code().name
                    translated = await connection_error(where, credentials, said)
                raise type(translated).of(target, str(translated)) from error

    return io_thread().run(ask()).result()


def _translated(error: grpc.aio.AioRpcError, address: Address) -> CallError | None:
    """The error that `error` stands for; None for one that may have many causes."""
    code = error.code()
    details = error.details() or code.name
    if code in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}:
        return AuthenticationError(f"{address} refused the caller: {details}")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceededError(f"no answer from {address} in time")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return not_ours(address, details)
    if code is grpc.StatusCode.UNAVAILABLE:
        return None
    return ProtocolError(f"{address}: {code.name}: {details}")
