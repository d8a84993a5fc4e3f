"""The futures of calls are real ones: everything that takes a concurrent.futures.Future takes them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading

import pytest

from tests.support.serving import hosting
from tests.support.waiting import until


class Gate:
    def __init__(self) -> None:
        self.gates = [threading.Event() for _ in range(10)]

    def wait(self, number: int) -> int:
        assert self.gates[number].wait(20)
        return number

    def double(self, x: int) -> int:
        return 2 * x

    def fail(self) -> None:
        raise ValueError("broken")


@pytest.fixture
def hosted():
    actor = Gate()
    with hosting(actor, max_concurrency=10) as hosted:
        hosted.actor = actor
        yield hosted
        for gate in actor.gates:
            gate.set()


def test_wait_returns_when_all_or_the_first_are_done(hosted):
    futures = [hosted.pool.submit().wait(i) for i in range(3)]
    done, pending = concurrent.futures.wait(futures, timeout=0.01)
    assert (done, len(pending)) == (set(), 3)
    hosted.actor.gates[1].set()
    done, pending = concurrent.futures.wait(futures, 10, concurrent.futures.FIRST_COMPLETED)
    assert done == {futures[1]}
    for gate in hosted.actor.gates:
        gate.set()
    done, pending = concurrent.futures.wait(futures, 10)
    assert (len(done), pending) == (3, set())


def test_wait_returns_at_the_first_exception(hosted):
    futures = [hosted.pool.submit().wait(0), hosted.pool.submit().fail()]
    done, _ = concurrent.futures.wait(futures, 10, concurrent.futures.FIRST_EXCEPTION)
    assert done == {futures[1]}


def test_as_completed_gives_futures_in_the_order_of_their_completion(hosted):
    futures = [hosted.pool.submit().wait(i) for i in range(3)]
    order = [2, 0, 1]
    hosted.actor.gates[order[0]].set()
    seen = []
    for future in concurrent.futures.as_completed(futures, timeout=20):
        seen.append(future.result())
        if len(seen) < 3:
            hosted.actor.gates[order[len(seen)]].set()
    assert seen == order


def test_result_times_out_and_can_be_asked_again(hosted):
    future = hosted.pool.submit().wait(0)
    for ask in (future.result, future.exception):
        with pytest.raises(concurrent.futures.TimeoutError):
            ask(0.01)
    assert not future.done()
    hosted.actor.gates[0].set()
    assert future.result(10) == 0
    assert future.exception() is None
    assert future.result() == 0


def test_a_result_is_opened_once_and_shared(hosted):
    future = hosted.pool.submit().double([1])
    assert future.result(10) == [1, 1]
    assert future.result() is future.result()


def test_a_future_of_a_failed_call_raises_each_time(hosted):
    future = hosted.pool.submit().fail()
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            future.result(10)
    assert isinstance(future.exception(), ValueError)


def test_a_callback_runs_with_the_finished_future(hosted):
    called = concurrent.futures.Future()
    future = hosted.pool.submit().wait(0)
    future.add_done_callback(called.set_result)
    assert not called.done()
    hosted.actor.gates[0].set()
    assert called.result(10) is future
    late = concurrent.futures.Future()
    future.add_done_callback(late.set_result)
    assert late.result(10) is future


def test_callbacks_run_in_the_order_they_were_added(hosted):
    order: list[int] = []
    finished = threading.Event()
    future = hosted.pool.submit().wait(0)
    for number in range(5):
        future.add_done_callback(lambda _, number=number: order.append(number))
    future.add_done_callback(lambda _: finished.set())
    hosted.actor.gates[0].set()
    assert finished.wait(10)
    assert order == list(range(5))


def test_a_callback_may_block_on_calls_of_its_own(hosted):
    chain = concurrent.futures.Future()

    def again(future) -> None:
        value = future.result()
        if value < 1000:
            hosted.pool.submit().double(hosted.pool.call(timeout=10).double(value)).add_done_callback(again)
        else:
            chain.set_result(value)

    hosted.pool.submit().double(1).add_done_callback(again)
    assert chain.result(20) == 2048


def test_callbacks_of_many_futures_may_all_block_on_calls(hosted):
    results: list[int] = []

    def again(future) -> None:
        results.append(hosted.pool.call(timeout=10).double(future.result()))

    for number in range(50):
        hosted.pool.submit().double(number).add_done_callback(again)
    until(lambda: len(results) == 50)
    assert sorted(results) == [4 * number for number in range(50)]


def test_a_callback_that_raises_is_logged_and_disturbs_nothing(hosted, caplog):
    after = threading.Event()

    def bad(_future) -> None:
        raise RuntimeError("callback failed")

    with caplog.at_level(logging.ERROR):
        future = hosted.pool.submit().wait(0)
        future.add_done_callback(bad)
        future.add_done_callback(lambda _: after.set())
        hosted.actor.gates[0].set()
        assert after.wait(10)
    assert future.result() == 0
    assert "callback failed" in caplog.text
    assert hosted.pool.call(timeout=10).double(2) == 4


def test_a_callback_of_a_cancelled_future_runs(hosted):
    called = concurrent.futures.Future()
    future = hosted.pool.submit().wait(0)
    future.add_done_callback(called.set_result)
    assert future.cancel()
    assert called.result(10) is future
    assert future.cancelled()


async def test_wrap_future_brings_a_result_into_asyncio(hosted):
    futures = [asyncio.wrap_future(hosted.pool.submit().double(i)) for i in range(50)]
    assert await asyncio.gather(*futures) == [2 * i for i in range(50)]
    with pytest.raises(ValueError, match="broken"):
        await asyncio.wrap_future(hosted.pool.submit().fail())


def test_a_large_result_that_nobody_takes_does_no_harm(hosted):
    future = hosted.pool.submit().double(b"x" * 20_000_000)
    until(future.done)
    del future
    assert hosted.pool.call(timeout=10).double(1) == 2


def test_thousands_of_futures_resolve(hosted):
    futures = [hosted.pool.submit().double(i) for i in range(10_000)]
    assert [future.result(30) for future in futures] == [2 * i for i in range(10_000)]
