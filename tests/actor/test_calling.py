"""The ways to call, and what each of them gives back."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future

import pytest

from iris_actor import ActorClient, FixedResolver, call_context, trace_context
from iris_actor.errors import ActorNotFoundError, MethodNotFoundError
from tests.support.serving import NAME, hosting


class Calculator:
    """An actor with one method of each kind."""

    scale = 2

    def add(self, a: int, b: int = 0, *more: int, **named: int) -> int:
        """The sum."""
        return a + b + sum(more) + sum(named.values())

    async def multiply(self, a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a * b

    @staticmethod
    def static(a: int) -> int:
        return -a

    @classmethod
    def scaled(cls, a: int) -> int:
        return a * cls.scale

    def nothing(self) -> None:
        return None

    def context(self) -> dict:
        seen = call_context()
        return {
            "actor": seen.actor_name,
            "id": seen.actor_id,
            "method": seen.method,
            "pid": seen.caller.pid,
            "trace": dict(seen.trace),
            "remaining": seen.time_remaining(),
            "cancelled": seen.cancelled,
        }

    async def context_async(self) -> dict:
        return self.context()

    def _private(self) -> int:
        return 1

    def boom(self) -> None:
        raise RuntimeError("boom")


@pytest.fixture
def hosted():
    with hosting(Calculator(), max_concurrency=4) as hosted:
        yield hosted


def test_call_blocks_and_returns_the_value(hosted):
    assert hosted.pool.call().add(1, 2) == 3


def test_submit_gives_a_future(hosted):
    future = hosted.pool.submit().add(1, b=2)
    assert isinstance(future, Future)
    assert future.result(5) == 3


async def test_acall_gives_an_awaitable(hosted):
    assert await hosted.pool.acall().add(1, 2) == 3
    assert await asyncio.gather(*(hosted.pool.acall().add(i, 1) for i in range(100))) == list(range(1, 101))


def test_positional_keyword_and_variable_arguments_arrive(hosted):
    assert hosted.pool.call().add(1, 2, 3, 4, c=5, d=6) == 21


def test_async_methods_are_called_like_others(hosted):
    assert hosted.pool.call().multiply(3, 4) == 12


def test_static_and_class_methods_can_be_called(hosted):
    assert hosted.pool.call().static(3) == -3
    assert hosted.pool.call().scaled(3) == 6


def test_none_is_a_value_like_any_other(hosted):
    assert hosted.pool.call().nothing() is None


def test_a_bound_method_can_be_kept_and_called_again(hosted):
    add = hosted.pool.call().add
    assert [add(i, i) for i in range(5)] == [0, 2, 4, 6, 8]


def test_a_client_looks_like_the_actor(hosted):
    client = ActorClient(FixedResolver({NAME: hosted.address}, namespace="test"), NAME, timeout=5)
    assert client.add(1, 2) == 3
    assert NAME in repr(client)
    with pytest.raises(AttributeError, match="private"):
        client._private()
    with pytest.raises(RuntimeError, match="boom"):
        client.boom()


def test_an_unknown_method_is_an_attribute_error_that_lists_the_known_ones(hosted):
    with pytest.raises(MethodNotFoundError) as caught:
        hosted.pool.call().subtract(1, 2)
    assert isinstance(caught.value, AttributeError)
    assert "subtract" in str(caught.value)
    assert "add" in str(caught.value)
    assert not caught.value.may_have_run


def test_a_private_method_cannot_be_called(hosted):
    for way in (hosted.pool.call(), hosted.pool.submit(), hosted.pool.stream(), hosted.pool.broadcast()):
        with pytest.raises(MethodNotFoundError, match="private"):
            _ = way._private


def test_a_method_that_the_given_type_lacks_is_refused_before_anything_is_sent():
    resolver = FixedResolver({NAME: "127.0.0.1:1"}, namespace="test")
    pool = resolver.lookup(NAME, Calculator)
    with pytest.raises(MethodNotFoundError, match="Calculator has no method 'subtract'"):
        pool.call().subtract(1)


def test_an_attribute_that_is_no_method_cannot_be_called(hosted):
    with pytest.raises(MethodNotFoundError, match="not a method"):
        hosted.pool.call().scale()


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1,), {"a": 2})])
def test_wrong_arguments_are_the_methods_own_type_error(hosted, args, kwargs):
    with pytest.raises(TypeError, match="argument"):
        hosted.pool.call().add(*args, **kwargs)


def test_a_name_that_nobody_serves_is_not_found_at_a_server(hosted):
    pool = FixedResolver({"nobody": hosted.address}, namespace="test").lookup("nobody", resolve_timeout=0.3)
    with pytest.raises(ActorNotFoundError, match="nobody") as caught:
        pool.call().add(1)
    assert isinstance(caught.value, LookupError)


def test_a_name_without_any_address_is_not_found_within_the_resolve_timeout():
    pool = FixedResolver({}, namespace="test").lookup("nobody", resolve_timeout=0.2)
    with pytest.raises(ActorNotFoundError, match=r"no actor .* 0.2 s"):
        pool.call().add(1)


@pytest.mark.parametrize("method", ["context", "context_async"])
def test_a_method_can_ask_about_its_call(hosted, method):
    token = trace_context.set({"traceparent": "00-abc"})
    try:
        seen = getattr(hosted.pool.call(timeout=50), method)()
    finally:
        trace_context.reset(token)
    assert seen["actor"] == f"test/{NAME}"
    assert seen["method"] == method
    assert seen["pid"] == os.getpid()
    assert seen["trace"] == {"traceparent": "00-abc"}
    assert 40 < seen["remaining"] <= 50
    assert not seen["cancelled"]


def test_a_call_without_timeout_has_all_the_time_in_the_world(hosted):
    assert hosted.pool.call().context()["remaining"] == float("inf")


def test_asking_about_a_call_outside_one_is_an_error():
    with pytest.raises(RuntimeError, match="outside an actor's method"):
        call_context()


def test_many_threads_may_share_a_pool(hosted):
    wrong = []

    def work(base: int) -> None:
        for i in range(100):
            if hosted.pool.call().add(base, i) != base + i:
                wrong.append((base, i))

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_a_pool_shows_its_name_and_size(hosted):
    assert repr(hosted.pool) == f"ActorPool('test/{NAME}', 1 endpoints)"
    assert hosted.pool.name == f"test/{NAME}"
    assert hosted.pool.size == len(hosted.pool.endpoints()) == 1
