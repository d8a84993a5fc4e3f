"""What a server logs for whoever operates it."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from iris_actor import ActorServer, Credentials, FixedResolver, WorkerPool
from iris_actor.errors import AuthenticationError
from iris_actor.rpc.json_call import describe
from iris_actor.rpc.refusals import MOST
from tests.support.processes import run_script
from tests.support.raw import RawSession
from tests.support.waiting import until


class Model:
    def __init__(self) -> None:
        self.go = threading.Event()

    def plain(self, held: bool) -> str:
        assert not held or self.go.wait(20)
        return "plain"

    async def coroutine(self, held: bool) -> str:
        assert not held or await asyncio.to_thread(self.go.wait, 20)
        return "coroutine"

    def items(self, count: int) -> Iterator[int]:
        yield from range(count)

    def fails(self) -> None:
        raise LookupError("of the method")

    async def afails(self) -> None:
        raise LookupError("of the coroutine")


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == level and r.name.startswith("iris_actor.")]


def test_it_tells_where_it_serves_what_and_how_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with ActorServer(namespace="demo") as server:
        server.register("model", Model())
        server.serve_background()
        address = server.address
    told = lines(caplog, logging.INFO)
    assert told == [
        f"serving demo/model at {address}",
        f"the server at {address} drains: 0 calls are to end",
        f"the server at {address} has stopped; 0 calls were not done",
    ]


def test_it_tells_of_calls_that_a_drain_could_not_wait_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    model = Model()
    with ActorServer() as server:
        server.register("model", model)
        server.serve_background()
        future = FixedResolver({"model": server.address}).lookup("model").submit().plain(True)
        until(lambda: server.in_flight == 1)
        assert not server.drain(0.05)
        assert (
            lines(caplog, logging.INFO)[-1] == f"after 0.05 s the server at {server.address} has 1 calls left"
        )
        model.go.set()
        assert future.result(20) == "plain"


@pytest.mark.parametrize("method", ["plain", "coroutine"])
def test_a_slow_call_is_a_warning_with_its_caller(caplog: pytest.LogCaptureFixture, method: str) -> None:
    model = Model()
    with ActorServer(slow_call=0.05) as server:
        server.register("model", model)
        server.serve_background()
        pool = FixedResolver({"model": server.address}).lookup("model")
        assert getattr(pool.call(timeout=20), method)(False) == method
        future = getattr(pool.submit(), method)(True)
        threading.Timer(0.1, model.go.set).start()
        assert future.result(20) == method
        assert list(pool.stream().items(3)) == [0, 1, 2]
        until(
            lambda: any(f"default/model.{method} ran for" in line for line in lines(caplog, logging.WARNING))
        )
    assert len(lines(caplog, logging.WARNING)) <= 2  # a loaded machine may have been slow with the first one


def test_without_a_limit_no_call_is_slow(caplog: pytest.LogCaptureFixture) -> None:
    with ActorServer() as server:
        server.register("model", Model())
        server.serve_background()
        assert (
            FixedResolver({"model": server.address}).lookup("model").call(timeout=20).plain(False) == "plain"
        )
    assert lines(caplog, logging.WARNING) == []


@pytest.mark.parametrize("bad", [0, -1, True, "5"])
def test_a_limit_that_is_none_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="slow_call must be a positive number"):
        ActorServer(slow_call=bad)


@pytest.mark.parametrize("method", ["fails", "afails"])
def test_exceptions_of_methods_are_told_at_debug_with_their_traceback(
    caplog: pytest.LogCaptureFixture, method: str
) -> None:
    caplog.set_level(logging.DEBUG, "iris_actor")
    with ActorServer() as server:
        server.register("model", Model())
        server.serve_background()
        with pytest.raises(LookupError):
            getattr(FixedResolver({"model": server.address}).lookup("model").call(timeout=20), method)()
    (record,) = [r for r in caplog.records if r.getMessage() == f"default/model.{method} raised"]
    assert record.exc_info is not None
    assert record.exc_info[0] is LookupError


@contextmanager
def guarded(host: str = "127.0.0.1") -> Iterator[ActorServer]:
    with ActorServer(credentials=Credentials(token="right"), host=host) as server:
        server.register("model", Model())
        server.serve_background()
        yield server


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_callers_that_are_refused_are_told_once_in_a_while(
    caplog: pytest.LogCaptureFixture, host: str
) -> None:
    with guarded(host) as server:
        wrong = FixedResolver({"model": server.address}, credentials=Credentials(token="wrong")).lookup(
            "model"
        )
        for _ in range(3):
            with pytest.raises(AuthenticationError):
                wrong.call(timeout=20).plain(False)
            with pytest.raises(AuthenticationError):
                describe(server.address, timeout=20)
        until(lambda: lines(caplog, logging.WARNING))
    assert lines(caplog, logging.WARNING) == [f"refused a caller on {host}: wrong or missing token"]


def test_a_caller_that_is_refused_for_ever_new_reasons_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ActorServer() as server:
        server.register("model", Model())
        server.serve_background()
        for version in range(100, 100 + 3 * MOST):
            with RawSession(server.address) as raw:
                raw.hello(version=version)
                raw.status()
        until(lambda: len(lines(caplog, logging.WARNING)) == MOST)
        assert "speaks version 100" in lines(caplog, logging.WARNING)[0]
        pool = FixedResolver({"model": server.address}).lookup("model")
        assert pool.call(timeout=20).plain(False) == "plain"
    assert len(lines(caplog, logging.WARNING)) == MOST


def test_a_handler_of_the_log_that_blocks_holds_up_no_call() -> None:
    reached, go_on = threading.Event(), threading.Event()

    class Blocking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "refused" in record.getMessage():
                reached.set()
                go_on.wait(20)

    handler = Blocking()
    logging.getLogger("iris_actor").addHandler(handler)
    try:
        with guarded() as server:
            with pytest.raises(AuthenticationError):
                describe(server.address, timeout=20)
            assert reached.wait(20)
            assert describe(server.address, timeout=20, credentials=Credentials(token="right")).actors
            go_on.set()
    finally:
        go_on.set()
        logging.getLogger("iris_actor").removeHandler(handler)


def test_an_actor_that_comes_later_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with ActorServer(namespace="demo") as server:
        server.serve_background()
        server.register("late", Model())
        assert lines(caplog, logging.INFO) == [
            f"serving no actor yet at {server.address}",
            f"serving demo/late at {server.address}",
        ]


def test_workers_of_a_pool_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with WorkerPool(num_workers=1) as pool:
        assert pool.submit(pow, 2, 5).result(60) == 32
    told = [r.getMessage() for r in caplog.records if r.name == "iris_actor.actor.server"]
    assert told == []


def test_serve_says_where_it_serves_wherever_logging_is_shown_and_nothing_elsewhere() -> None:
    source = """
import logging, os, signal, sys, threading, time
from iris_actor import ActorServer
if sys.argv[1] == "shown":
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
server = ActorServer(namespace="ns")
server.register("a", object())

def end_it():
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=end_it).start()
server.serve()
"""
    shown = run_script(source, "shown", timeout=60)
    assert re.search(
        r"INFO:iris_actor\.actor\.server:serving ns/a at 127\.0\.0\.1:\d+\n(.*\n)*.* drains: 0 calls", shown
    )
    assert run_script(source, "hidden", timeout=60) == ""
