"""What stands for a value and is none: a sentence says what to do."""

from __future__ import annotations

import asyncio
import functools
import gc
import pickle
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from iris_actor.errors import SerializationError
from iris_actor.rpc.json_call import call_json
from tests.support.serving import NAME, hosting


async def value() -> int:
    return 1


async def numbers() -> Any:
    yield 1


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that hides what it decorates, as many do."""

    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


class AsyncCallable:
    async def __call__(self) -> int:
        return 7


class Awaitable:
    def __await__(self) -> Any:
        yield

    def __reduce__(self) -> Any:
        raise TypeError("not to be pickled")


class Forgetful:
    def __init__(self) -> None:
        self.callable = AsyncCallable()

    def plain(self) -> Any:
        return value()

    @decorated
    async def wrapped(self) -> int:
        return 1

    async def twice(self) -> Any:
        return value()

    async def task(self) -> Any:
        return asyncio.create_task(value())

    async def future(self) -> Any:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(1)
        return future

    def awaitable(self) -> Any:
        return Awaitable()

    def stdlib_future(self) -> Any:
        return Future()

    def own_future(self) -> Any:
        return self.me.submit().ping()

    def generator(self) -> Any:
        return (number for number in range(3))

    def async_generator(self) -> Any:
        return numbers()

    def real_generator(self) -> Any:
        yield 1

    async def real_async_generator(self) -> Any:
        yield 1

    def ping(self) -> int:
        return 1

    async def async_ping(self) -> int:
        return 1


@pytest.fixture
def hosted():
    actor = Forgetful()
    with hosting(actor) as hosted:
        actor.me = hosted.pool
        yield hosted
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    assert not [str(each.message) for each in caught], "nothing is left that was never awaited"


@pytest.mark.parametrize("method", ["plain", "wrapped", "twice", "task", "future", "awaitable"])
def test_an_awaitable_as_a_result_is_refused_with_what_to_do(hosted, method):
    with pytest.raises(SerializationError, match=f"declare {method} `async def`") as caught:
        getattr(hosted.pool.call(timeout=15), method)()
    assert "returned a" in str(caught.value)
    assert caught.value.may_have_run
    assert hosted.pool.call(timeout=15).ping() == 1


@pytest.mark.parametrize("method", ["plain", "wrapped"])
def test_a_json_call_is_told_as_well(hosted, method):
    with pytest.raises(SerializationError, match=f"declare {method} `async def`"):
        call_json(hosted.address, NAME, method, timeout=15)


@pytest.mark.parametrize("method", ["stdlib_future", "own_future"])
def test_a_future_as_a_result_is_refused_with_what_to_do(hosted, method):
    if method == "own_future":
        hosted.pool.call(timeout=15).ping()
    with pytest.raises(SerializationError, match=r"return its result\(\)"):
        getattr(hosted.pool.call(timeout=15), method)()


def test_a_future_of_a_call_does_not_pickle(hosted):
    future = hosted.pool.submit().ping()
    with pytest.raises(TypeError, match=r"pass its result\(\)"):
        pickle.dumps(future)
    with pytest.raises(SerializationError, match=r"pass its result\(\)"):
        hosted.pool.call(timeout=15).ping(future)
    assert future.result(15) == 1


@pytest.mark.parametrize("method", ["generator", "async_generator", "real_generator", "real_async_generator"])
def test_a_call_of_a_generator_says_to_stream_it(hosted, method):
    with pytest.raises(TypeError, match=rf"pool\.stream\(\)\.{method}"):
        getattr(hosted.pool.call(timeout=15), method)()


@pytest.mark.parametrize("method", ["ping", "async_ping"])
def test_a_stream_of_a_method_that_is_no_generator_says_to_call_it(hosted, method):
    with pytest.raises(TypeError, match=rf"pool\.call\(\)\.{method}"):
        list(getattr(hosted.pool.stream(timeout=15), method)())


@pytest.mark.parametrize("method", ["plain", "wrapped", "twice", "async_generator"])
def test_a_stream_of_what_needs_an_event_loop_says_so(hosted, method):
    with pytest.raises(TypeError, match="async def"):
        list(getattr(hosted.pool.stream(timeout=15), method)())


def test_an_object_whose_call_is_async_runs_as_an_async_method(hosted):
    assert hosted.pool.call(timeout=15).callable() == 7
