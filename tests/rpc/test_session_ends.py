"""What a session leaves behind at the server when it ends, in whatever way: nothing."""

from __future__ import annotations

import gc
import logging

import grpc
import grpc.aio
import pytest

from iris_actor import Limits
from iris_actor.rpc.server_session import ServerSession
from iris_actor.rpc.sessions import sessions
from tests.support.lab import Lab
from tests.support.processes import run_script
from tests.support.proxy import Proxy
from tests.support.raw import RawSession
from tests.support.serving import hosting, lookup_at
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("without_lane")
"""The faults are those of the network."""


def server_sessions() -> int:
    gc.collect()
    return sum(isinstance(thing, ServerSession) for thing in gc.get_objects())


@pytest.fixture
def hosted():
    until(lambda: server_sessions() == 0, what="sessions of earlier tests to end")
    with hosting(Lab(), limits=Limits(resume_window=0.3)) as hosted:
        yield hosted


def test_a_caller_that_says_goodbye_is_forgotten(hosted):
    for _ in range(5):
        assert hosted.pool.call(timeout=10).echo(1) == 1
        sessions.get(hosted.address, None).close()
        until(lambda: server_sessions() == 0)


def test_a_caller_that_exits_is_forgotten(hosted):
    source = "import sys; from tests.support.serving import call_echo; print(call_echo(sys.argv[1], 7))"
    assert run_script(source, hosted.address).strip() == "7"
    until(lambda: server_sessions() == 0)


def test_a_caller_that_sends_garbage_is_forgotten(hosted):
    for _ in range(5):
        with RawSession(hosted.address) as raw:
            raw.hello()
            raw.receive()
            raw.send(b"\xff\xff garbage")
            raw.status()
    until(lambda: server_sessions() == 0)


def test_a_caller_that_vanishes_is_forgotten_after_the_window(hosted):
    with Proxy(hosted.address) as proxy:
        future = lookup_at(proxy.address).submit().echo(1)
        assert future.result(10) == 1
        assert server_sessions() == 1
        proxy.refuse()
        until(lambda: server_sessions() == 0)


def test_large_arguments_of_a_caller_that_vanished_are_forgotten(hosted):
    with Proxy(hosted.address) as proxy:
        pool = lookup_at(proxy.address, resolve_timeout=0.2)
        pool.call(timeout=10).echo("connected")
        proxy.cut_after(3_000_000)
        proxy.stall()
        future = pool.submit().echo(bytes(20_000_000))
        proxy.refuse()
        assert future.exception(15) is not None
        until(lambda: server_sessions() == 0)
        until(lambda: hosted.server.in_flight == 0)


def test_a_stopped_server_keeps_no_session():
    with hosting(Lab()) as hosted:
        assert hosted.pool.call(timeout=10).echo(1) == 1
    until(lambda: server_sessions() == 0)


def test_grpc_does_not_log_a_connection_that_broke_and_does_log_the_rest(hosted, caplog):
    log = logging.getLogger("grpc._cython.cygrpc")
    assert hosted.pool.call(timeout=10).echo(1) == 1
    for error in (grpc.aio.InternalError("Failed execute_batch"), ValueError("news")):
        try:
            raise error
        except Exception:
            log.exception("raised in core by servicer method")
    (record,) = caplog.records
    assert record.exc_info[0] is ValueError
