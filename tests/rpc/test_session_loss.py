"""Servers that die, hang and come back: an error in time, or another server; never a hang."""

from __future__ import annotations

import pytest

from iris_actor.errors import ConnectionLostError, ServerUnavailableError
from tests.support.processes import ServerProcess
from tests.support.serving import lookup_at
from tests.support.waiting import Stopwatch, until

pytestmark = pytest.mark.usefixtures("each_carrier")

PROMPTLY = 3.0


@pytest.fixture
def server():
    with ServerProcess() as server:
        yield server


@pytest.fixture
def other():
    with ServerProcess() as other:
        yield other


def hold_there(pool, asking, name="gate", **options):
    future = pool.submit(**options).hold(name)
    until(lambda: asking.call(timeout=10).counted(name))
    return future


def test_a_call_whose_server_is_killed_fails_promptly(server):
    pool = lookup_at(server.address)
    future = hold_there(pool, pool)
    watch = Stopwatch()
    server.kill()
    with pytest.raises(ConnectionLostError, match="may have run") as caught:
        future.result(15)
    assert watch.seconds < PROMPTLY
    assert caught.value.may_have_run
    assert isinstance(caught.value, ConnectionError)
    assert caught.value.target == "test/actor.hold"


def test_a_blocking_call_whose_server_is_killed_fails_promptly(server):
    import threading

    pool = lookup_at(server.address)
    killer = threading.Thread(
        target=lambda: (until(lambda: pool.call(timeout=10).counted("gate")), server.kill())
    )
    killer.start()
    with pytest.raises(ConnectionLostError):
        pool.call().hold("gate")
    killer.join()


def test_a_stream_whose_server_is_killed_fails_promptly(server):
    pool = lookup_at(server.address)
    stream = pool.stream().items_held(10, "gate", 3)
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    watch = Stopwatch()
    server.kill()
    with pytest.raises(ConnectionLostError):
        next(stream)
    assert watch.seconds < PROMPTLY


def test_an_idempotent_call_is_tried_again_elsewhere(server, other):
    pool = lookup_at(server.address, other.address)
    one, two = lookup_at(server.address), lookup_at(other.address)
    future = hold_there(pool, one, idempotent=True)
    server.kill()
    until(lambda: two.call(timeout=10).counted("gate"))
    two.call(timeout=10).release("gate")
    assert future.result(15) == f"gate in {other.pid}"


def test_a_call_that_is_not_idempotent_is_not_tried_again(server, other):
    pool = lookup_at(server.address, other.address)
    future = hold_there(pool, lookup_at(server.address))
    server.kill()
    with pytest.raises(ConnectionLostError):
        future.result(15)
    assert lookup_at(other.address).call(timeout=10).counted("gate") == 0


def test_an_idempotent_call_gives_up_after_max_retries():
    servers = [ServerProcess() for _ in range(3)]
    try:
        pool = lookup_at(*(one.address for one in servers), max_retries=1)
        alone = [lookup_at(one.address) for one in servers]
        future = pool.submit(idempotent=True).hold("gate")
        for _ in range(2):
            where = until(
                lambda: next(
                    (
                        one
                        for one, asking in zip(servers, alone, strict=True)
                        if one.process.poll() is None and asking.call(timeout=10).counted("gate")
                    ),
                    None,
                )
            )
            where.kill()
        with pytest.raises(ConnectionLostError):
            future.result(15)
        assert sum(one.process.poll() is None for one in servers) == 1
    finally:
        for one in servers:
            one.close()


def test_a_call_to_a_stopped_server_completes_when_it_goes_on(server):
    pool = lookup_at(server.address)
    assert pool.call(timeout=10).count() == 1
    server.pause()
    future = pool.submit().count()
    with pytest.raises(TimeoutError):
        future.result(0.5)
    server.resume()
    assert future.result(15) == 2


def test_a_caller_is_freed_by_its_timeout_while_the_server_is_stopped(server):
    pool = lookup_at(server.address)
    pool.call(timeout=10).count()
    server.pause()
    watch = Stopwatch()
    with pytest.raises(TimeoutError):
        pool.call(timeout=0.3).count()
    assert watch.seconds < 3
    server.resume()
    assert pool.call(timeout=10).echo("back") == "back"


def test_calls_that_never_reached_the_server_go_elsewhere(server, other):
    pool = lookup_at(server.address, other.address)
    assert {pool.call(timeout=10).pid() for _ in range(4)} == {server.pid, other.pid}
    server.kill()
    futures = [pool.submit().count("elsewhere") for _ in range(20)]
    outcomes = [future.exception(20) for future in futures]
    assert all(outcome is None or isinstance(outcome, ConnectionLostError) for outcome in outcomes)
    assert {pool.call(timeout=10).pid() for _ in range(10)} == {other.pid}


def test_a_first_call_to_a_dead_server_goes_elsewhere(server, other):
    server.kill()
    pool = lookup_at(server.address, other.address)
    assert [pool.call(timeout=15).pid() for _ in range(5)] == [other.pid] * 5


def test_with_nobody_left_the_call_never_ran_and_says_so(server):
    server.kill()
    with pytest.raises(ServerUnavailableError, match=r"resolve_timeout") as caught:
        lookup_at(server.address, resolve_timeout=0.5).call().count()
    assert not caught.value.may_have_run


def test_a_server_that_restarts_on_its_port_fails_what_was_in_flight_and_takes_new_calls(server):
    pool = lookup_at(server.address)
    future = hold_there(pool, pool)
    old = server.pid
    server.restart()
    with pytest.raises(ConnectionLostError):
        future.result(15)
    assert pool.call(timeout=15).pid() == server.pid != old
    assert pool.call(timeout=15).count() == 1


def test_an_idempotent_call_is_tried_again_on_the_restarted_server(server):
    pool = lookup_at(server.address)
    future = hold_there(pool, pool, idempotent=True)
    server.restart()
    until(lambda: pool.call(timeout=10).counted("gate"))
    pool.call(timeout=10).release("gate")
    assert future.result(15) == f"gate in {server.pid}"


def test_callers_that_wait_for_the_server_are_served_when_it_comes(server):
    port = server.port
    server.kill()
    future = lookup_at(server.address, resolve_timeout=20).submit().echo("late")
    with ServerProcess(port=port):
        assert future.result(20) == "late"
