"""Draining: what was accepted finishes, what comes goes elsewhere, and the endpoint is gone at once."""

from __future__ import annotations

import signal
import threading

import pytest

from iris_actor import ActorServer, EtcdResolver
from iris_actor.errors import CallError, ConnectionLostError, ServerUnavailableError
from tests.support.lab import Lab
from tests.support.processes import ServerProcess
from tests.support.serving import NAME, hosting, lookup_at
from tests.support.waiting import Stopwatch, until


class At:
    """A balancer that knows only one address."""

    def __init__(self, address: str) -> None:
        self.address = address

    def pick(self, endpoints, key, pending):
        return next(endpoint for endpoint in endpoints if endpoint.address == self.address)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_a_server(etcd, namespace, number, tmp_path):
    gate = tmp_path / "gate"
    with (
        ServerProcess(etcd.url, namespace=namespace) as leaving,
        ServerProcess(etcd.url, namespace=namespace) as staying,
        EtcdResolver(etcd.url, namespace=namespace) as resolver,
    ):
        pool = resolver.lookup("actor")
        pool.wait_for_size(2, timeout=10)
        at_leaving = resolver.lookup("actor", balancer=At(leaving.address))
        accepted = [at_leaving.submit().hold_for(str(gate)) for _ in range(3)]
        until(lambda: at_leaving.call(timeout=10).counted(str(gate)) == 3)

        leaving.process.send_signal(number)
        watch = Stopwatch()
        until(lambda: pool.size == 1)
        assert watch.seconds < 3, "the endpoint disappears at once"
        assert {pool.call(timeout=10).pid() for _ in range(20)} == {staying.pid}
        assert not any(future.done() for future in accepted)
        assert leaving.process.poll() is None, "it waits for what it accepted"

        gate.touch()
        assert [future.result(10) for future in accepted] == [leaving.pid] * 3
        assert leaving.wait() == 0


def test_calls_that_are_made_all_the_time_lose_nothing_to_a_server_that_drains():
    with ServerProcess() as leaving, ServerProcess() as staying:
        pool = lookup_at(leaving.address, staying.address)
        results: list[int] = []
        stop = threading.Event()

        def keep_calling() -> None:
            while not stop.is_set():
                results.append(pool.call(timeout=20).pid())

        threads = [threading.Thread(target=keep_calling) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: leaving.pid in results and staying.pid in results)
        leaving.terminate()
        assert leaving.wait() == 0
        after = len(results)
        until(lambda: len(results) > after + 50)
        stop.set()
        for thread in threads:
            thread.join(20)
    assert set(results[after + 10 :]) == {staying.pid}


def _refused(address: str) -> bool:
    error = lookup_at(address, resolve_timeout=0.2).submit().echo(1).exception(10)
    assert error is None or isinstance(error, ServerUnavailableError)
    return error is not None


def test_a_second_signal_ends_a_server_at_once(tmp_path):
    with ServerProcess(drain_timeout=60) as server:
        pool = lookup_at(server.address)
        future = pool.submit().hold_for(str(tmp_path / "never"))
        until(lambda: pool.call(timeout=10).counted(str(tmp_path / "never")))
        server.terminate()
        until(lambda: _refused(server.address))
        watch = Stopwatch()
        server.terminate()
        assert server.wait() == 0
        assert watch.seconds < 10
        assert isinstance(future.exception(10), ConnectionLostError)


def test_drain_gives_up_after_its_timeout_and_says_so():
    with hosting(Lab()) as hosted:
        future = hosted.pool.submit().hold("gate")
        until(lambda: hosted.server.in_flight == 1)
        assert hosted.server.drain(0.2) is False
        assert not future.done()
        assert hosted.server.drain(0.2) is False


def test_drain_and_stop_may_be_repeated_in_any_order():
    server = ActorServer(namespace="test")
    assert server.drain(1) is True, "nothing was served yet"
    server.register(NAME, Lab())
    server.serve_background()
    assert server.drain(1) is True
    assert server.drain(1) is True
    server.stop()
    server.stop()
    assert server.drain(1) is True


def test_several_threads_may_drain_at_a_time():
    lab = Lab()
    with hosting(lab) as hosted:
        future = hosted.pool.submit().hold("gate")
        until(lambda: hosted.server.in_flight == 1)
        outcomes: list[bool] = []
        threads = [
            threading.Thread(target=lambda: outcomes.append(hosted.server.drain(20))) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        lab.release("gate")
        for thread in threads:
            thread.join(10)
        assert outcomes == [True] * 3
        assert future.result(10)


def test_stop_ends_a_drain_that_waits():
    with hosting(Lab()) as hosted:
        future = hosted.pool.submit().hold("gate")
        until(lambda: hosted.server.in_flight == 1)
        draining = threading.Thread(target=hosted.server.drain)
        draining.start()
        hosted.server.stop()
        draining.join(10)
        assert not draining.is_alive()
        assert isinstance(future.exception(10), ConnectionLostError)


def test_a_draining_server_lets_a_stream_come_to_its_end():
    with hosting(Lab()) as hosted:
        stream = hosted.pool.stream().items(500)
        assert next(stream) == 0
        draining = threading.Thread(target=hosted.server.drain)
        draining.start()
        assert list(stream) == list(range(1, 500))
        draining.join(10)
        assert not draining.is_alive()


def test_a_lone_draining_server_refuses_new_calls_without_running_them():
    lab = Lab()
    with hosting(lab, lookup={"resolve_timeout": 0.4}) as hosted:
        held = hosted.pool.submit().hold("gate")
        until(lambda: hosted.server.in_flight == 1)
        draining = threading.Thread(target=hosted.server.drain)
        draining.start()
        until(lambda: hosted.server._rpc._load.draining)

        def refused() -> CallError | None:
            return hosted.pool.submit().count("late").exception(10)

        error = until(refused)
        assert isinstance(error, ServerUnavailableError)
        assert "draining" in str(error)
        assert not error.may_have_run
        lab.release("gate")
        assert held.result(10)
        draining.join(10)


def test_leaving_the_context_of_a_server_drains_it():
    lab = Lab()
    with ActorServer(namespace="test") as server:
        server.register(NAME, lab, max_concurrency=2)
        server.serve_background()
        pool = lookup_at(server.address)
        future = pool.submit().hold("gate")
        until(lambda: server.in_flight == 1)
        threading.Timer(0.2, lab.release, ["gate"]).start()
    assert future.result(1).startswith("gate")
