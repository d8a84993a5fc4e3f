"""Each call runs in a context of its own: what a method sets, the next call does not see."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from iris_actor import ActorServer, call_context, trace_context
from tests.support.serving import NAME, hosting, lookup_at

user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


class Sessions:
    def set_plain(self) -> str:
        before = user.get()
        user.set("plain")
        return before

    async def set_async(self) -> str:
        before = user.get()
        user.set("async")
        await asyncio.sleep(0)
        return before

    def get_plain(self) -> str:
        return user.get()

    async def get_async(self) -> str:
        return user.get()

    def items(self) -> Iterator[str]:
        yield user.get()
        user.set("generator")
        yield user.get()
        yield user.get()

    async def items_async(self) -> AsyncIterator[str]:
        yield user.get()
        user.set("async generator")
        yield user.get()
        await asyncio.sleep(0)
        yield user.get()

    def fails(self) -> None:
        user.set("failed")
        raise ValueError

    def precision(self) -> int:
        before = decimal.getcontext().prec
        decimal.getcontext().prec = 3
        return before

    def identity(self) -> tuple[str, int]:
        return call_context().method, threading.get_ident()

    def trace(self) -> Any:
        before = trace_context.get()
        trace_context.set({"traceparent": "of the method"})
        return before


WAYS = ["set_plain", "set_async", "get_plain", "get_async"]


@pytest.mark.parametrize("first", [*WAYS, "fails", "items", "items_async"])
@pytest.mark.parametrize("second", WAYS)
def test_what_a_call_sets_the_next_one_does_not_see(first, second):
    with hosting(Sessions()) as hosted:
        pool = hosted.pool
        for _ in range(3):
            # Submitted together: the second runs as soon as the first one's thread or loop has its turn.
            if first.startswith("items"):
                futures = [pool.stream().__getattr__(first)(), getattr(pool.submit(), second)()]
                assert next(iter(futures[0])) == "nobody"
            else:
                futures = [getattr(pool.submit(), first)(), getattr(pool.submit(), second)()]
                futures[0].exception(15)
            assert futures[1].result(15) == "nobody"


@pytest.mark.parametrize(("method", "own"), [("items", "generator"), ("items_async", "async generator")])
def test_a_generator_keeps_one_context_over_all_its_items(method, own):
    with hosting(Sessions()) as hosted:
        for _ in range(2):
            assert list(getattr(hosted.pool.stream(), method)()) == ["nobody", own, own]


def test_variables_of_the_caller_do_not_travel_even_in_one_process():
    with hosting(Sessions()) as hosted:
        token = user.set("the caller")
        try:
            for way in WAYS:
                assert getattr(hosted.pool.call(timeout=15), way)() == "nobody"
        finally:
            user.reset(token)


async def test_methods_on_the_programs_loop_have_contexts_of_their_own():
    user.set("the program")
    async with ActorServer(namespace="test") as server:
        server.register(NAME, Sessions())
        pool = lookup_at(server.address)
        for way in (*WAYS, *WAYS):
            assert await getattr(pool.acall(timeout=15), way)() == "nobody"
        assert [item async for item in pool.stream().items_async()][:1] == ["nobody"]
    assert user.get() == "the program"


def test_the_context_of_decimal_is_of_the_call_too():
    with hosting(Sessions()) as hosted:
        assert [hosted.pool.call(timeout=15).precision() for _ in range(3)] == [28, 28, 28]


def test_trace_and_call_context_are_the_calls_own():
    with hosting(Sessions()) as hosted:
        token = trace_context.set({"traceparent": "of the caller"})
        try:
            assert hosted.pool.call(timeout=15).trace() == {"traceparent": "of the caller"}
        finally:
            trace_context.reset(token)
        assert hosted.pool.call(timeout=15).trace() is None
        method, thread = hosted.pool.call(timeout=15).identity()
        assert (method, hosted.pool.call(timeout=15).identity()[1]) == ("identity", thread)
