"""Cancelling a future or a task cancels the call at the far side, queued or running."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import CancelledError

import pytest

from iris_actor import call_context
from iris_actor.errors import CallCancelledError
from tests.support.serving import hosting
from tests.support.waiting import until, until_async


class Watcher:
    def __init__(self) -> None:
        self.go = threading.Event()
        self.began: list[str] = []
        self.ended: list[str] = []

    def hold(self, name: str = "") -> None:
        self.began.append(name)
        assert self.go.wait(30)

    async def sleep(self, name: str = "") -> None:
        self.began.append(name)
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.ended.append(name)
            raise

    async def stubborn(self) -> str:
        """Tidies up before it lets go."""
        self.began.append("stubborn")
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.01)
            self.ended.append("tidied up")

    def watch(self, name: str = "") -> None:
        self.began.append(name)
        context = call_context()
        end = time.monotonic() + 30
        while not context.cancelled and time.monotonic() < end:
            time.sleep(0.005)
        self.ended.append(name)

    async def raises_cancelled(self) -> None:
        raise asyncio.CancelledError

    def large(self, data: bytes) -> int:
        self.began.append("large")
        return len(data)

    def ping(self) -> str:
        return "pong"


@pytest.fixture
def hosted():
    actor = Watcher()
    with hosting(actor) as hosted:
        hosted.actor = actor
        yield hosted
        actor.go.set()


def test_cancelling_a_future_cancels_a_queued_call(hosted):
    running = hosted.pool.submit().hold("running")
    until(lambda: hosted.actor.began == ["running"])
    queued = hosted.pool.submit().hold("queued")
    until(lambda: hosted.server.in_flight == 2)
    assert queued.cancel()
    assert queued.cancelled()
    until(lambda: hosted.server.in_flight == 1)
    hosted.actor.go.set()
    running.result(10)
    assert hosted.pool.call(timeout=10).ping() == "pong"
    assert hosted.actor.began == ["running"]
    with pytest.raises(CancelledError):
        queued.result(1)


def test_cancelling_a_future_cancels_a_running_async_method(hosted):
    future = hosted.pool.submit().sleep("one")
    until(lambda: hosted.actor.began == ["one"])
    assert future.cancel()
    until(lambda: hosted.actor.ended == ["one"])
    assert hosted.pool.call(timeout=10).ping() == "pong", "the serial actor is free again"


def test_a_running_plain_method_can_see_that_it_was_cancelled(hosted):
    future = hosted.pool.submit().watch("one")
    until(lambda: hosted.actor.began == ["one"])
    assert future.cancel()
    until(lambda: hosted.actor.ended == ["one"])


def test_a_finished_future_cannot_be_cancelled(hosted):
    future = hosted.pool.submit().ping()
    assert future.result(10) == "pong"
    assert not future.cancel()
    assert future.result() == "pong"


def test_cancelling_twice_is_cancelling_once(hosted):
    future = hosted.pool.submit().sleep()
    until(lambda: hosted.actor.began)
    assert future.cancel()
    assert future.cancel()
    until(lambda: hosted.actor.ended == [""])


def test_an_async_method_may_tidy_up_before_the_next_call_runs(hosted):
    future = hosted.pool.submit().stubborn()
    until(lambda: hosted.actor.began)
    future.cancel()
    assert hosted.pool.call(timeout=10).ping() == "pong"
    assert hosted.actor.ended == ["tidied up"]


async def test_cancelling_a_task_cancels_a_running_async_method(hosted):
    task = asyncio.create_task(hosted.pool.acall().sleep("task"))
    await until_async(lambda: hosted.actor.began == ["task"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_async(lambda: hosted.actor.ended == ["task"])


async def test_cancelling_a_task_cancels_a_queued_call(hosted):
    running = asyncio.create_task(hosted.pool.acall().hold("running"))
    await until_async(lambda: hosted.actor.began == ["running"])
    queued = asyncio.create_task(hosted.pool.acall().hold("queued"))
    await until_async(lambda: hosted.server.in_flight == 2)
    queued.cancel()
    await until_async(lambda: hosted.server.in_flight == 1)
    hosted.actor.go.set()
    await running
    assert hosted.actor.began == ["running"]


async def test_an_asyncio_timeout_cancels_the_call(hosted):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(hosted.pool.acall().sleep("slow"), 0.3)
    await until_async(lambda: hosted.actor.ended == ["slow"])


async def test_leaving_a_task_group_with_an_error_cancels_its_calls(hosted):
    async def fail() -> None:
        await until_async(lambda: hosted.actor.began == ["member"])
        raise ZeroDivisionError

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(hosted.pool.acall().sleep("member"))
            group.create_task(fail())

    with pytest.raises(ExceptionGroup):
        await run()
    await until_async(lambda: hosted.actor.ended == ["member"])


async def test_cancelling_a_wrapped_future_cancels_the_call(hosted):
    future = asyncio.wrap_future(hosted.pool.submit().sleep("wrapped"))
    await until_async(lambda: hosted.actor.began == ["wrapped"])
    future.cancel()
    await until_async(lambda: hosted.actor.ended == ["wrapped"])


def test_cancelling_while_the_arguments_are_on_their_way_never_starts_the_call(hosted):
    futures = [hosted.pool.submit().large(bytes(64_000_000)) for _ in range(2)]
    for future in futures:
        future.cancel()
    assert hosted.pool.call(timeout=20).ping() == "pong"
    until(lambda: hosted.server.in_flight == 0)
    assert all(future.cancelled() for future in futures)


def test_hundreds_of_calls_cancelled_at_once_leave_nothing_behind(hosted):
    futures = [hosted.pool.submit().sleep(str(i)) for i in range(300)]
    for future in futures:
        future.cancel()
    until(lambda: hosted.server.in_flight == 0)
    assert hosted.pool.call(timeout=10).ping() == "pong"


def test_a_method_that_cancels_itself_is_a_call_cancelled_error(hosted):
    with pytest.raises(CallCancelledError) as caught:
        hosted.pool.call(timeout=10).raises_cancelled()
    assert caught.value.may_have_run


def test_cancelling_a_call_that_looks_for_an_endpoint_ends_the_search():
    from iris_actor import FixedResolver

    future = FixedResolver({}, namespace="test").lookup("nobody").submit().anything()
    assert future.cancel()
    assert future.cancelled()
