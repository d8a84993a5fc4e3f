"""Servers that are not ours: a clear error for the caller, in time."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from iris_actor._proto import session_pb2 as pb
from iris_actor.errors import CallError, ProtocolError
from tests.support.raw import CONNECT
from tests.support.serving import lookup_at


class _Handler(grpc.GenericRpcHandler):
    """A server of somebody else's."""

    def __init__(self, method=None) -> None:
        self._method = method

    def service(self, details):
        return self._method if details.method == CONNECT else None


@pytest.fixture
def stranger():
    """Starts a gRPC server that is not ours."""
    servers = []

    def start(behaviour=None) -> str:
        pool = ThreadPoolExecutor(4)
        server = grpc.server(pool)
        handler = behaviour and grpc.stream_stream_rpc_method_handler(behaviour)
        server.add_generic_rpc_handlers((_Handler(handler),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append((server, pool))
        return f"127.0.0.1:{port}"

    yield start
    for server, pool in servers:
        server.stop(0).wait()
        pool.shutdown()


def test_a_server_of_another_kind_is_a_protocol_error(stranger):
    with pytest.raises(ProtocolError):
        lookup_at(stranger(), resolve_timeout=1).call(timeout=10).echo(1)


def test_a_server_that_speaks_another_version_is_a_protocol_error(stranger):
    def welcome(_requests, _context):
        packet = pb.Packet()
        packet.welcome.CopyFrom(pb.Welcome(version=99, incarnation="x"))
        yield packet.SerializeToString()

    with pytest.raises(ProtocolError, match="99"):
        lookup_at(stranger(welcome), resolve_timeout=1).call(timeout=10).echo(1)


def test_a_server_that_answers_with_garbage_is_a_protocol_error(stranger):
    def garbage(_requests, _context):
        yield b"\xff\xffgarbage"

    with pytest.raises(ProtocolError, match="no packet"):
        lookup_at(stranger(garbage), resolve_timeout=1).call(timeout=10).echo(1)


def test_a_server_that_sends_garbage_later_fails_the_calls_it_has(stranger):
    def garbage(requests, _context):
        packet = pb.Packet()
        packet.welcome.CopyFrom(
            pb.Welcome(version=1, incarnation="x", max_in_flight=10, max_payload=1000, resume_window_ms=1000)
        )
        next(requests)
        yield packet.SerializeToString()
        next(requests)
        yield b"\xff\xffgarbage"

    with pytest.raises(CallError) as caught:
        lookup_at(stranger(garbage), resolve_timeout=1).call(timeout=10).echo(1)
    assert caught.value.may_have_run


def test_a_port_that_does_not_speak_grpc_is_an_error_in_time():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(CallError) as caught:
            lookup_at(address, resolve_timeout=0.5).call(timeout=1).echo(1)
    assert isinstance(caught.value, TimeoutError | ConnectionError)
