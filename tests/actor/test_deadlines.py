"""Deadlines: they free the caller on time, travel with the call, and stop the work."""

from __future__ import annotations

import asyncio
import math
import threading
import time

import pytest

from iris_actor import FixedResolver, call_context
from iris_actor.errors import ActorNotFoundError, DeadlineExceededError
from tests.support.serving import NAME, hosting
from tests.support.waiting import Stopwatch, until

SHORT = 0.3
GENEROUS = 5.0
"""What a caller may take beyond its timeout on a busy machine; the method hangs for much longer."""


class Hanging:
    """Methods that hang until they are released, and what they saw."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.began = 0
        self.events: list[str] = []
        self.remaining: list[float] = []
        self.resolver: FixedResolver | None = None

    def hang(self) -> None:
        self.began += 1
        self.go.wait(30)

    async def hang_async(self) -> None:
        self.began += 1
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.events.append("cancelled")
            raise

    def hang_stream(self):
        self.began += 1
        yield 1
        self.go.wait(30)
        yield 2

    async def hang_stream_async(self):
        self.began += 1
        try:
            yield 1
            await asyncio.sleep(30)
            yield 2
        finally:
            self.events.append("closed")

    def watch(self) -> None:
        """Plain code that asks whether anybody still waits."""
        context = call_context()
        self.remaining.append(context.time_remaining())
        self.began += 1
        end = time.monotonic() + 30
        while not context.cancelled and time.monotonic() < end:
            time.sleep(0.005)
        self.remaining.append(context.time_remaining())
        self.events.append("noticed")
        time.sleep(0.1)  # what returns at this very moment may still be in time for the caller's own clock

    def remaining_time(self) -> float:
        return call_context().time_remaining()

    def nested(self, timeout: float | None) -> float:
        return self.resolver.lookup("other").call(timeout=timeout).remaining_time()

    async def nested_async(self, limit: float | None) -> float:
        return await self.resolver.lookup("other").acall(timeout=limit).remaining_time()

    def nested_hang(self) -> None:
        try:
            self.resolver.lookup("other").call().hang_async()
        except DeadlineExceededError:
            self.events.append("nested deadline")
            raise

    def after_the_deadline(self) -> str:
        context = call_context()
        until(lambda: context.time_remaining() == 0)
        try:
            self.resolver.lookup("other").call().remaining_time()
        except DeadlineExceededError as error:
            self.events.append(f"refused {error.may_have_run}")
            raise
        return "never"


@pytest.fixture
def hosted():
    actor = Hanging()
    with hosting(actor) as hosted:
        hosted.actor = actor
        yield hosted
        actor.go.set()


def freed_on_time(function) -> DeadlineExceededError:
    watch = Stopwatch()
    with pytest.raises(DeadlineExceededError) as caught:
        function()
    assert SHORT * 0.9 <= watch.seconds < SHORT + GENEROUS
    assert isinstance(caught.value, TimeoutError)
    assert f"{SHORT:g} s" in str(caught.value)
    return caught.value


@pytest.mark.parametrize("method", ["hang", "hang_async"])
def test_call_frees_the_caller_while_the_method_hangs(hosted, method):
    error = freed_on_time(getattr(hosted.pool.call(timeout=SHORT), method))
    assert error.may_have_run
    assert error.target == f"test/{NAME}.{method}"


@pytest.mark.parametrize("method", ["hang", "hang_async"])
def test_the_future_of_submit_fails_at_its_deadline(hosted, method):
    freed_on_time(lambda: getattr(hosted.pool.submit(timeout=SHORT), method)().result(30))


@pytest.mark.parametrize("method", ["hang", "hang_async"])
async def test_acall_frees_its_task(hosted, method):
    watch = Stopwatch()
    with pytest.raises(DeadlineExceededError):
        await getattr(hosted.pool.acall(timeout=SHORT), method)()
    assert watch.seconds < SHORT + GENEROUS


@pytest.mark.parametrize("method", ["hang_stream", "hang_stream_async"])
def test_a_stream_ends_at_its_deadline_after_the_items_that_came(hosted, method):
    stream = getattr(hosted.pool.stream(timeout=SHORT), method)()
    watch = Stopwatch()
    assert next(stream) == 1
    with pytest.raises(DeadlineExceededError):
        next(stream)
    assert watch.seconds < SHORT + GENEROUS
    with pytest.raises(StopIteration):
        next(stream)


async def test_a_stream_ends_at_its_deadline_in_asyncio(hosted):
    stream = hosted.pool.stream(timeout=SHORT).hang_stream_async()
    assert await anext(stream) == 1
    with pytest.raises(DeadlineExceededError):
        await anext(stream)


def test_a_broadcast_returns_at_its_deadline(hosted):
    watch = Stopwatch()
    (result,) = hosted.pool.broadcast().hang().wait_all(timeout=SHORT)
    assert watch.seconds < SHORT + GENEROUS
    assert isinstance(result.exception, DeadlineExceededError)
    assert not result.ok


def test_a_call_whose_deadline_passes_while_it_is_queued_is_never_started(hosted):
    hanging = hosted.pool.submit().hang()
    until(lambda: hosted.actor.began == 1)
    queued = [hosted.pool.submit(timeout=SHORT).hang() for _ in range(5)]
    for future in queued:
        assert isinstance(future.exception(10), DeadlineExceededError)
    until(lambda: hosted.server.in_flight == 1)
    hosted.actor.go.set()
    hanging.result(10)
    hosted.pool.call(timeout=10).remaining_time()
    assert hosted.actor.began == 1


def test_an_async_method_is_cancelled_at_its_deadline(hosted):
    with pytest.raises(DeadlineExceededError):
        hosted.pool.call(timeout=SHORT).hang_async()
    until(lambda: hosted.actor.events == ["cancelled"])
    assert hosted.pool.call(timeout=10).remaining_time() > 0, "the actor is free again"


def test_an_async_generator_is_closed_at_its_deadline(hosted):
    with pytest.raises(DeadlineExceededError):
        list(hosted.pool.stream(timeout=SHORT).hang_stream_async())
    until(lambda: hosted.actor.events == ["closed"])


def test_a_plain_method_can_see_that_its_deadline_passed(hosted):
    with pytest.raises(DeadlineExceededError):
        hosted.pool.call(timeout=SHORT).watch()
    until(lambda: hosted.actor.events == ["noticed"])
    before, after = hosted.actor.remaining
    assert 0 < before <= SHORT
    assert after < before, "it is cancelled at the deadline, by either side's clock"


@pytest.mark.parametrize("method", ["nested", "nested_async"])
def test_nested_calls_inherit_what_is_left(method):
    outer, inner = Hanging(), Hanging()
    with hosting(outer) as front, hosting(inner) as back:
        outer.resolver = FixedResolver({"other": back.address}, namespace="test")
        back.server.register("other", inner)
        inherited = getattr(front.pool.call(timeout=20), method)(None)
        assert 5 < inherited <= 20
        shorter = getattr(front.pool.call(timeout=20), method)(3)
        assert 0 < shorter <= 3
        never_longer = getattr(front.pool.call(timeout=20), method)(500)
        assert 5 < never_longer <= 20
        assert getattr(front.pool.call(), method)(None) == math.inf


def test_the_deadline_stops_the_whole_chain():
    outer, inner = Hanging(), Hanging()
    with hosting(outer) as front, hosting(inner) as back:
        outer.resolver = FixedResolver({"other": back.address}, namespace="test")
        back.server.register("other", inner)
        with pytest.raises(DeadlineExceededError):
            front.pool.call(timeout=SHORT).nested_hang()
        until(lambda: outer.events == ["nested deadline"])
        until(lambda: inner.events == ["cancelled"])


def test_a_call_made_after_the_deadline_is_refused_before_it_is_sent():
    outer, inner = Hanging(), Hanging()
    with hosting(outer) as front, hosting(inner) as back:
        outer.resolver = FixedResolver({"other": back.address}, namespace="test")
        back.server.register("other", inner)
        with pytest.raises(DeadlineExceededError):
            front.pool.call(timeout=SHORT).after_the_deadline()
        until(lambda: outer.events == ["refused False"])


def test_a_deadline_bounds_the_search_for_an_endpoint():
    pool = FixedResolver({}, namespace="test").lookup("nobody", resolve_timeout=30)
    watch = Stopwatch()
    with pytest.raises(ActorNotFoundError, match="nobody") as caught:
        pool.call(timeout=SHORT).anything()
    assert watch.seconds < SHORT + GENEROUS
    assert not caught.value.may_have_run


def test_a_timeout_does_not_disturb_the_next_call(hosted):
    for _ in range(20):
        with pytest.raises(DeadlineExceededError):
            hosted.pool.call(timeout=0.01).hang_async()
    assert hosted.pool.call(timeout=20).remaining_time() > 0


def test_a_timeout_raised_by_the_method_is_the_methods_own():
    class Impatient:
        def work(self) -> None:
            raise TimeoutError("mine")

    with hosting(Impatient()) as hosted:
        with pytest.raises(TimeoutError, match="mine") as caught:
            hosted.pool.call(timeout=10).work()
    assert type(caught.value) is TimeoutError
