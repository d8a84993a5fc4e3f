"""A cancel travels through a method that waits in calls of its own, as a deadline does."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from iris_actor import Limits, call_context
from iris_actor.errors import CallCancelledError
from tests.support.processes import python
from tests.support.serving import Hosted, hosting, lookup_at
from tests.support.waiting import until

OUTCOME = 15.0


class Inner:
    """Serves the calls that a method of `Outer` makes."""

    def __init__(self) -> None:
        self.began = 0
        self.cancelled = 0
        self.held = threading.Event()

    async def work(self, _item: int = 0) -> None:
        self.began += 1
        try:
            await asyncio.sleep(120)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def items(self) -> Any:
        self.began += 1
        try:
            yield 1
            await asyncio.sleep(120)
        finally:
            self.cancelled += 1

    def watch(self) -> None:
        """A plain method, which looks whether it is cancelled."""
        self.began += 1
        context = call_context()
        until(lambda: context.cancelled, OUTCOME)
        self.cancelled += 1

    async def tidy(self) -> str:
        return "tidied"


class Outer:
    """A serial actor, each method of which waits in calls of its own in another way."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.errors: list[BaseException] = []
        self.notes: list[Any] = []
        self.waits = False

    def _note(self, wait: Any) -> Any:
        self.waits = True
        try:
            return wait()
        except BaseException as error:
            self.errors.append(error)
            raise

    def ping(self) -> str:
        return "pong"

    def call(self) -> None:
        self._note(lambda: self.inner.call().work())

    def call_with_timeout(self) -> None:
        self._note(lambda: self.inner.call(timeout=100).work())

    def plain(self) -> None:
        self._note(lambda: self.inner.call().watch())

    def submit(self) -> None:
        self._note(lambda: self.inner.submit().work().result())

    def stream(self) -> None:
        self._note(lambda: list(self.inner.stream().items()))

    def broadcast(self) -> None:
        for result in self.inner.broadcast().work().wait_all():
            self.errors.append(result.exception)

    def map(self) -> None:
        self._note(lambda: list(self.inner.map(range(100)).work(in_flight=3)))

    def as_completed(self) -> None:
        futures = [self.inner.submit().work() for _ in range(3)]
        self._note(lambda: [future.result() for future in concurrent.futures.as_completed(futures)])

    def run_asyncio(self) -> None:
        async def gather() -> None:
            await asyncio.gather(*(self.inner.acall().work() for _ in range(3)))

        self._note(lambda: asyncio.run(gather()))

    def thread(self) -> None:
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: context.run(self._swallow))
        thread.start()
        thread.join()

    def _swallow(self) -> None:
        try:
            self.inner.call().work()
        except CallCancelledError as error:
            self.errors.append(error)

    def items(self) -> Iterator[int]:
        yield 0
        self._note(lambda: self.inner.call().work())

    async def to_thread(self) -> None:
        await asyncio.to_thread(self._swallow)

    async def coroutine(self) -> None:
        await self.inner.acall().work()

    def stubborn(self) -> None:
        """Goes on after the cancel, as `except Exception` in a loop does."""
        for _ in range(1000):
            try:
                self.inner.call().work()
            except CallCancelledError as error:
                self.errors.append(error)

    def tidies_up(self) -> None:
        try:
            self.inner.call().work()
        finally:
            self.notes.append(contextvars.Context().run(lambda: self.inner.call(timeout=OUTCOME).tidy()))

    async def tidies_up_async(self) -> None:
        try:
            await self.inner.acall().work()
        finally:
            self.notes.append(await self.inner.acall(timeout=OUTCOME).tidy())

    def finishes(self) -> str:
        """Leaves a call under way when it returns."""
        self.left = self.inner.submit().work()
        return "finished"


@pytest.fixture
def inner() -> Iterator[Hosted]:
    actor = Inner()
    with hosting(actor, max_concurrency=8) as hosted:
        hosted.actor = actor
        yield hosted


@pytest.fixture
def outer(inner: Hosted) -> Iterator[Hosted]:
    actor = Outer(inner.pool)
    with hosting(actor) as hosted:
        hosted.actor = actor
        yield hosted


WAYS = [
    "call",
    "call_with_timeout",
    "plain",
    "submit",
    "stream",
    "broadcast",
    "map",
    "as_completed",
    "run_asyncio",
    "thread",
    "to_thread",
    "coroutine",
]


def assert_freed(outer: Hosted, inner: Hosted) -> None:
    """The outer actor answers again, and everything that the inner one began was cancelled."""
    assert outer.pool.call(timeout=OUTCOME).ping() == "pong"
    until(lambda: inner.actor.cancelled == inner.actor.began)
    until(lambda: inner.server.in_flight == 0)


@pytest.mark.parametrize("way", WAYS)
def test_cancelling_a_future_ends_the_calls_that_its_method_waits_for(outer, inner, way):
    future = getattr(outer.pool.submit(), way)()
    until(lambda: inner.actor.began)
    assert future.cancel()
    assert_freed(outer, inner)
    if way != "coroutine":
        until(lambda: outer.actor.errors)
    for error in outer.actor.errors:
        assert isinstance(error, CallCancelledError)
        assert "cancelled" in str(error)


async def test_cancelling_a_task_does_too(outer, inner):
    task = asyncio.create_task(outer.pool.acall().call())
    await asyncio.to_thread(until, lambda: inner.actor.began)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(assert_freed, outer, inner)


def test_closing_a_stream_does_too(outer, inner):
    stream = outer.pool.stream().items()
    assert next(stream) == 0
    until(lambda: inner.actor.began)
    stream.close()
    assert_freed(outer, inner)


def test_a_timeout_of_the_caller_alone_does_too(outer, inner):
    """The deadline travels anyhow; here the caller leaves before it."""
    future = outer.pool.submit(timeout=100).call()
    until(lambda: inner.actor.began)
    assert future.cancel()
    assert_freed(outer, inner)


def test_stopping_the_server_frees_its_threads(inner):
    actor = Outer(inner.pool)
    with hosting(actor) as outer:
        future = outer.pool.submit().call()
        until(lambda: inner.actor.began)
        outer.server.stop()
        assert future.exception(OUTCOME) is not None
        until(lambda: inner.actor.cancelled)
        until(lambda: actor.errors)


_CALLER = """
import sys
from tests.support.serving import lookup_at

print("calling", flush=True)
lookup_at(sys.argv[1]).call().call()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "its death"])
def test_the_end_of_the_caller_does_too(inner, number):
    with hosting(Outer(inner.pool), limits=Limits(resume_window=0.5)) as outer:
        caller = python("-c", _CALLER, outer.address)
        try:
            until(lambda: inner.actor.began)
            caller.send_signal(number)
            assert_freed(outer, inner)
        finally:
            caller.kill()
            caller.communicate()


def test_it_travels_through_a_chain_of_actors(inner):
    with hosting(Outer(inner.pool)) as third, hosting(Outer(third.pool)) as second:

        class First:
            def start(self) -> None:
                second.pool.call().chained()

            def ping(self) -> str:
                return "pong"

        Outer.chained = lambda self: self.inner.call().call()
        try:
            with hosting(First()) as first:
                future = first.pool.submit().start()
                until(lambda: inner.actor.began)
                assert future.cancel()
                assert_freed(first, inner)
                for hosted in (second, third):
                    assert hosted.pool.call(timeout=OUTCOME).ping() == "pong"
        finally:
            del Outer.chained


def test_it_ends_a_call_that_waits_for_room(outer):
    actor = Inner()
    with hosting(actor, limits=Limits(max_in_flight_per_caller=2), max_concurrency=8) as full:
        outer.actor.inner = full.pool
        filling = [full.pool.submit().work() for _ in range(2)]
        until(lambda: actor.began == 2)
        future = outer.pool.submit().call()
        until(lambda: outer.actor.waits)
        assert future.cancel()
        assert outer.pool.call(timeout=OUTCOME).ping() == "pong"
        (error,) = outer.actor.errors
        assert not error.may_have_run
        assert actor.began == 2
        for each in filling:
            each.cancel()


def test_it_ends_a_call_that_looks_for_an_endpoint(outer):
    outer.actor.inner = lookup_at(resolve_timeout=100)
    future = outer.pool.submit().call()
    until(lambda: outer.actor.waits)
    assert future.cancel()
    assert outer.pool.call(timeout=OUTCOME).ping() == "pong"
    until(lambda: outer.actor.errors)
    assert not outer.actor.errors[0].may_have_run


def test_calls_that_are_made_after_the_cancel_end_at_once(outer, inner):
    future = outer.pool.submit().stubborn()
    until(lambda: inner.actor.began)
    assert future.cancel()
    assert_freed(outer, inner)
    assert len(outer.actor.errors) == 1000
    assert inner.actor.began == 1
    assert not outer.actor.errors[-1].may_have_run


@pytest.mark.parametrize("way", ["tidies_up", "tidies_up_async"])
def test_a_method_can_tidy_up_with_calls(outer, inner, way):
    future = getattr(outer.pool.submit(), way)()
    until(lambda: inner.actor.began)
    assert future.cancel()
    assert_freed(outer, inner)
    assert outer.actor.notes == ["tidied"]


def test_calls_of_a_method_that_has_returned_go_on(outer, inner):
    future = outer.pool.submit().finishes()
    assert future.result(OUTCOME) == "finished"
    assert not future.cancel()
    until(lambda: inner.actor.began == 1)
    assert outer.pool.call(timeout=OUTCOME).ping() == "pong"
    assert not outer.actor.left.done()
    assert outer.actor.left.cancel()


def test_many_cancels_at_any_moment_leave_nothing_behind(outer, inner):
    for _ in range(100):
        future = outer.pool.submit().call()
        future.cancel()
        future = outer.pool.submit().map()
        assert outer.server.in_flight >= 0
        future.cancel()
    assert_freed(outer, inner)
