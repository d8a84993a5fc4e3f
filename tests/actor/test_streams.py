"""Streams: items in order, bounded by credit, ended from either side."""

from __future__ import annotations

import asyncio
import gc
import threading

import numpy as np
import pytest

from iris_actor.errors import CallError, RemoteTraceback
from iris_actor.rpc.json_call import describe
from tests.support.serving import hosting
from tests.support.waiting import until, until_async


class Source:
    def __init__(self) -> None:
        self.yielded = 0
        self.events: list[str] = []
        self.go = threading.Event()

    def numbers(self, count: int):
        try:
            for number in range(count):
                self.yielded += 1
                yield number
        finally:
            self.events.append("closed")

    async def numbers_async(self, count: int):
        try:
            for number in range(count):
                self.yielded += 1
                yield number
                await asyncio.sleep(0)
        finally:
            self.events.append("closed")

    def fails(self, at: int):
        yield from range(at)
        raise ValueError("in the middle")

    async def fails_async(self, at: int):
        for number in range(at):
            yield number
        raise ValueError("in the middle")

    def mixed(self, count: int):
        for number in range(count):
            yield np.full(131_072, number) if number % 3 == 0 else number

    def held(self):
        yield "first"
        assert self.go.wait(20)
        yield "second"

    def a_list(self) -> list[int]:
        return [1, 2, 3]

    async def a_list_async(self) -> list[int]:
        return [1, 2, 3]

    def an_iterator(self):
        return iter("abc")

    def no_stream(self) -> int:
        return 7

    async def no_stream_async(self) -> int:
        return 7

    def ping(self) -> str:
        return "pong"

    def reused(self):
        array = np.zeros(131_072)
        for number in range(10):
            array[:] = number
            yield array


@pytest.fixture
def hosted():
    actor = Source()
    with hosting(actor) as hosted:
        hosted.actor = actor
        yield hosted
        actor.go.set()


BOTH = pytest.mark.parametrize("name", ["numbers", "numbers_async"])


@BOTH
@pytest.mark.parametrize("count", [0, 1, 64, 1000])
def test_items_come_in_order_and_end(hosted, name, count):
    assert list(getattr(hosted.pool.stream(), name)(count)) == list(range(count))
    assert hosted.actor.events == ["closed"]


@BOTH
async def test_items_come_in_order_in_asyncio(hosted, name):
    assert [item async for item in getattr(hosted.pool.stream(), name)(500)] == list(range(500))


def test_an_item_arrives_before_the_next_one_is_made(hosted):
    stream = hosted.pool.stream().held()
    assert next(stream) == "first"
    hosted.actor.go.set()
    assert list(stream) == ["second"]


@BOTH
def test_the_generator_runs_ahead_of_its_consumer_only_by_the_credit(hosted, name):
    credit = 64
    stream = getattr(hosted.pool.stream(), name)(100_000)
    until(lambda: hosted.actor.yielded >= credit)
    taken = [next(stream) for _ in range(10)]
    assert taken == list(range(10))
    for _ in range(20):
        describe(hosted.address, timeout=10)
    # So many round trips later the generator stands where it stood.
    assert hosted.actor.yielded <= credit + 1
    for _ in range(490):
        next(stream)
    until(lambda: hosted.actor.yielded >= 500)
    assert hosted.actor.yielded <= 500 + credit + 1
    stream.close()
    until(lambda: hosted.actor.events == ["closed"])


@BOTH
def test_closing_early_stops_the_generator_and_runs_its_finally(hosted, name):
    stream = getattr(hosted.pool.stream(), name)(1_000_000)
    assert next(stream) == 0
    stream.close()
    stream.close()
    until(lambda: hosted.actor.events == ["closed"])
    assert list(stream) == []
    assert hosted.pool.call(timeout=10).ping() == "pong"


@BOTH
def test_leaving_the_loop_early_stops_the_generator(hosted, name):
    with getattr(hosted.pool.stream(), name)(1_000_000) as stream:
        for item in stream:
            if item == 100:
                break
    until(lambda: hosted.actor.events == ["closed"])


@BOTH
def test_losing_the_stream_stops_the_generator(hosted, name):
    stream = getattr(hosted.pool.stream(), name)(1_000_000)
    assert next(stream) == 0
    del stream
    gc.collect()
    until(lambda: hosted.actor.events == ["closed"])


async def test_cancelling_the_consumer_stops_the_generator(hosted):
    async def consume() -> None:
        async for _ in hosted.pool.stream().numbers_async(10_000_000):
            pass

    task = asyncio.create_task(consume())
    await until_async(lambda: hosted.actor.yielded > 500)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_async(lambda: hosted.actor.events == ["closed"])


@pytest.mark.parametrize("name", ["fails", "fails_async"])
@pytest.mark.parametrize("at", [0, 3, 200])
def test_an_exception_in_the_middle_comes_after_the_items_before_it(hosted, name, at):
    stream = getattr(hosted.pool.stream(), name)(at)
    assert [next(stream) for _ in range(at)] == list(range(at))
    with pytest.raises(ValueError, match="in the middle") as caught:
        next(stream)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert list(stream) == []


def test_large_items_and_small_ones_keep_their_order(hosted):
    for number, item in enumerate(hosted.pool.stream().mixed(60)):
        if number % 3 == 0:
            assert item.nbytes == 2**20
            assert (item == number).all()
        else:
            assert item == number


def test_an_item_that_is_changed_after_it_was_yielded_arrives_as_it_was(hosted):
    for number, item in enumerate(hosted.pool.stream().reused()):
        assert (item == number).all()


def test_several_streams_run_side_by_side():
    with hosting(Source(), max_concurrency=8) as hosted:
        streams = [hosted.pool.stream().numbers(300) for _ in range(8)]
        for number in range(300):
            assert [next(stream) for stream in streams] == [number] * 8


@pytest.mark.parametrize(
    ("name", "items"),
    [("a_list", [1, 2, 3]), ("a_list_async", [1, 2, 3]), ("an_iterator", ["a", "b", "c"])],
)
def test_any_iterable_can_be_streamed(hosted, name, items):
    assert list(getattr(hosted.pool.stream(), name)()) == items


@pytest.mark.parametrize("name", ["no_stream", "no_stream_async"])
def test_a_result_that_is_no_iterable_is_no_stream(hosted, name):
    with pytest.raises(TypeError, match=f"{name} returned int, which is no stream"):
        next(getattr(hosted.pool.stream(), name)())


@BOTH
def test_a_generator_method_cannot_be_called_for_one_value(hosted, name):
    with pytest.raises(TypeError, match=rf"call it as pool.stream\(\).{name}"):
        getattr(hosted.pool.call(timeout=10), name)(3)
    assert hosted.pool.call(timeout=10).ping() == "pong"


def test_a_stream_of_an_unknown_method_fails_at_its_first_item(hosted):
    with pytest.raises(AttributeError, match="unknown"):
        next(hosted.pool.stream().unknown())


def test_a_stream_whose_server_stops_ends_with_an_error(hosted):
    stream = hosted.pool.stream().held()
    assert next(stream) == "first"
    hosted.server.stop()
    with pytest.raises(CallError):
        next(stream)


def test_a_consumer_in_another_thread_gets_everything(hosted):
    stream = hosted.pool.stream().numbers(2_000)
    taken: list[int] = []
    thread = threading.Thread(target=lambda: taken.extend(stream))
    thread.start()
    thread.join(20)
    assert taken == list(range(2_000))


async def test_aclose_stops_the_generator(hosted):
    stream = hosted.pool.stream().numbers_async(1_000_000)
    assert await anext(stream) == 0
    await stream.aclose()
    await until_async(lambda: hosted.actor.events == ["closed"])
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
