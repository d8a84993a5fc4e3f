"""Caps on calls in flight and on sizes: over them the caller waits, or gets a clear error."""

from __future__ import annotations

import asyncio
import gc
import threading

import numpy as np
import pytest

from iris_actor import Limits
from iris_actor.actor import pending_call
from iris_actor.errors import BackpressureError, DeadlineExceededError, PayloadTooLargeError
from iris_actor.retry import Backoff
from tests.support.lab import Lab
from tests.support.serving import hosting
from tests.support.waiting import until, until_async

pytestmark = pytest.mark.usefixtures("each_carrier")

MB = 1_000_000


class Sizes(Lab):
    def __init__(self) -> None:
        super().__init__()
        self.began = 0

    def make(self, size: int) -> bytes:
        self.began += 1
        return bytes(size)

    def make_held(self, size: int) -> bytes:
        self.hold("make")
        return bytes(size)

    def items_of(self, *sizes: int):
        for size in sizes:
            yield bytes(size)

    def raise_large(self, size: int) -> None:
        raise ValueError("x" * size)


def full(limits: Limits, **lookup):
    """A server whose caller is at its limit: that many calls are held."""
    return hosting(
        Sizes(), limits=limits, lookup=lookup, max_concurrency=8, concurrency_groups={"control": 8}
    )


@pytest.fixture
def at_the_cap():
    with full(Limits(max_in_flight_per_caller=2)) as hosted:
        hosted.actor = hosted.server
        hosted.pool.call(timeout=10).echo("connected")
        held = [hosted.pool.submit().hold("gate") for _ in range(2)]
        until(lambda: hosted.server.in_flight == 2)
        yield hosted, held
        for future in held:
            future.cancel()


def test_over_the_cap_a_call_raises_where_the_pool_says_so(at_the_cap):
    hosted, _ = at_the_cap
    pool = hosted.again(on_full="raise")
    for ask in (pool.call().echo, pool.submit().echo, pool.stream().items):
        with pytest.raises(BackpressureError, match="2 calls are in flight") as caught:
            ask(1)
        assert not caught.value.may_have_run


async def test_over_the_cap_a_coroutine_raises_where_the_pool_says_so(at_the_cap):
    hosted, _ = at_the_cap
    with pytest.raises(BackpressureError):
        await hosted.again(on_full="raise").acall().echo(1)


def test_over_the_cap_a_caller_waits_for_room(at_the_cap):
    hosted, held = at_the_cap
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(hosted.pool.call(timeout=20).echo(7)))
    thread.start()
    with pytest.raises(DeadlineExceededError, match="waiting for room") as caught:
        hosted.pool.call(timeout=0.2).echo(1)
    assert not caught.value.may_have_run
    assert results == []
    held[0].cancel()
    thread.join(20)
    assert results == [7]


async def test_over_the_cap_a_coroutine_waits_without_blocking_its_loop(at_the_cap):
    hosted, held = at_the_cap
    task = asyncio.create_task(hosted.pool.acall(timeout=20).echo(7))
    with pytest.raises(DeadlineExceededError, match="waiting for room"):
        await hosted.pool.acall(timeout=0.2).echo(1)
    assert not task.done()
    held[0].cancel()
    assert await task == 7


async def test_a_coroutine_that_gave_up_waiting_for_room_leaves_nothing_behind(at_the_cap):
    hosted, _ = at_the_cap
    complaints: list[dict] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    with pytest.raises(DeadlineExceededError):
        await hosted.pool.acall(timeout=0.1).echo(1)
    cancelled = asyncio.create_task(hosted.pool.acall(timeout=0.2).echo(1))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    # Whatever the I/O thread still has to say comes before what this call brings back.
    with pytest.raises(DeadlineExceededError):
        await hosted.pool.acall(timeout=0.4).echo(1)
    del cancelled
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


def test_hundreds_of_calls_pass_through_a_cap_of_two():
    with full(Limits(max_in_flight_per_caller=2)) as hosted:
        futures = [hosted.pool.submit().echo(i) for i in range(300)]
        assert [future.result(30) for future in futures] == list(range(300))


def test_a_caller_that_waits_is_woken_by_a_large_result():
    with full(Limits(max_in_flight_per_caller=1)) as hosted:
        hosted.pool.call(timeout=10).echo("connected")
        large = hosted.pool.submit().make(30 * MB)
        assert hosted.pool.call(timeout=20).echo("small") == "small"
        assert len(large.result(10)) == 30 * MB


def test_a_server_takes_as_many_calls_as_its_own_cap_says():
    with full(Limits(max_in_flight=1), on_full="raise") as hosted:
        assert hosted.pool.call(timeout=10).echo(1) == 1


def test_over_the_servers_cap_a_call_raises_where_the_pool_says_so():
    with full(Limits(max_in_flight=2), on_full="raise") as hosted:
        held = [hosted.pool.submit().hold("gate") for _ in range(2)]
        until(lambda: hosted.server.in_flight == 2)
        with pytest.raises(BackpressureError, match=r"Limits\.max_in_flight"):
            hosted.pool.call(timeout=10).echo(1)
        for future in held:
            future.cancel()


def test_over_the_servers_cap_a_call_waits_as_long_as_its_deadline_lets_it(monkeypatch):
    # No attempt is on its way when the deadline passes: then nobody could say whether it ran.
    monkeypatch.setattr(pending_call, "_AGAIN", Backoff(first=3.0, most=3.0))
    with full(Limits(max_in_flight=2), resolve_timeout=0.2) as hosted:
        held = [hosted.pool.submit().hold("gate") for _ in range(2)]
        until(lambda: hosted.server.in_flight == 2)
        waiting = hosted.pool.submit().echo(7)
        with pytest.raises(DeadlineExceededError) as caught:
            hosted.pool.call(timeout=1).echo(1)
        assert not caught.value.may_have_run
        assert not waiting.done(), "room has nothing to do with the resolve timeout"
        held[0].cancel()
        assert waiting.result(20) == 7
        held[1].cancel()


@pytest.mark.parametrize("make", [bytes, lambda size: np.zeros(size, np.uint8)], ids=["bytes", "array"])
def test_arguments_over_the_limit_are_refused_before_they_are_sent(make):
    with full(Limits(max_payload=1 * MB)) as hosted:
        hosted.pool.call(timeout=10).echo("connected")
        for ask in (hosted.pool.call(timeout=10).echo, lambda x: hosted.pool.submit().echo(x).result(10)):
            with pytest.raises(
                PayloadTooLargeError, match=r"the arguments take 2000\d+ bytes.*max_payload"
            ) as c:
                ask(make(2 * MB))
            assert isinstance(c.value, ValueError)
            assert not c.value.may_have_run
        assert len(hosted.pool.call(timeout=10).echo(make(MB // 2))) == MB // 2


def test_arguments_over_the_limit_are_refused_also_on_the_first_call():
    with full(Limits(max_payload=1 * MB)) as hosted:
        with pytest.raises(PayloadTooLargeError):
            hosted.pool.call(timeout=10).echo(bytes(2 * MB))
        assert hosted.pool.call(timeout=10).echo(1) == 1


def test_a_result_over_the_limit_is_a_clear_error_that_may_have_run():
    with full(Limits(max_payload=1 * MB)) as hosted:
        with pytest.raises(PayloadTooLargeError, match=r"its result takes 2000\d+ bytes") as caught:
            hosted.pool.call(timeout=10).make(2 * MB)
        assert caught.value.may_have_run
        assert len(hosted.pool.call(timeout=10).make(MB // 2)) == MB // 2


def test_an_item_over_the_limit_ends_its_stream():
    with full(Limits(max_payload=1 * MB)) as hosted:
        stream = hosted.pool.stream(timeout=10).items_of(10, 2 * MB, 10)
        assert len(next(stream)) == 10
        with pytest.raises(PayloadTooLargeError, match="an item of its stream"):
            next(stream)


def test_an_exception_of_any_size_arrives():
    with full(Limits()) as hosted:
        with pytest.raises(ValueError, match="xxx") as caught:
            hosted.pool.call(timeout=10).raise_large(3 * MB)
        assert len(str(caught.value)) == 3 * MB


def test_arguments_that_could_never_be_pending_are_refused_at_once():
    with full(Limits(max_pending_bytes=1 * MB)) as hosted:
        with pytest.raises(PayloadTooLargeError):
            hosted.pool.call(timeout=10).echo(bytes(2 * MB))


async def test_calls_wait_while_too_many_bytes_are_pending():
    with full(Limits(max_pending_bytes=3 * MB)) as hosted:
        calls = [asyncio.create_task(hosted.pool.acall(timeout=20).echo(bytes(2 * MB))) for _ in range(6)]
        await until_async(lambda: all(call.done() for call in calls))
        assert [len(call.result()) for call in calls] == [2 * MB] * 6
