"""Tasks that return a promise of a value, such as a coroutine: they are told what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from iris_actor.errors import SerializationError
from iris_actor.work.pool.executor.worker_pool import WorkerPool


async def fetch(n: int) -> int:
    return n


def fetch_later(n: int) -> Any:
    return fetch(n)


def numbers(n: int) -> Iterator[int]:
    yield from range(n)


async def async_numbers(n: int) -> AsyncIterator[int]:
    yield n


def future(_n: int) -> Future[int]:
    return Future()


def run(n: int) -> int:
    return asyncio.run(fetch(n))


CASES = [
    (fetch, "task fetch returned a coroutine", "asyncio.run(fetch("),
    (fetch_later, "task fetch_later returned a coroutine", "asyncio.run(fetch_later("),
    (numbers, "task numbers returned a generator", "return a list"),
    (async_numbers, "task async_numbers returned a async_generator", "returns a list"),
    (future, "task future returned a Future", "return its result()"),
]


@pytest.mark.parametrize(("function", "what", "advice"), CASES)
@pytest.mark.parametrize("chunksize", [1, 3])
def test_a_task_that_returns_no_value_yet_is_told_what_to_do(
    shared_pool: WorkerPool,
    capfd: pytest.CaptureFixture[str],
    function: Callable[[int], Any],
    what: str,
    advice: str,
    chunksize: int,
) -> None:
    with pytest.raises(SerializationError) as caught:
        list(shared_pool.map(function, range(3), chunksize=chunksize))
    assert what in str(caught.value)
    assert advice in str(caught.value)
    shared_pool.submit(print, "end of output").result(30)
    assert "never awaited" not in capfd.readouterr().err


def test_a_plain_function_that_runs_a_coroutine_is_what_the_sentence_asks_for(
    shared_pool: WorkerPool,
) -> None:
    assert list(shared_pool.map(run, range(3))) == [0, 1, 2]


def test_other_results_that_do_not_pickle_say_so_as_before(shared_pool: WorkerPool) -> None:
    error = shared_pool.submit(lambda: lambda x=open: (x, iter(__import__("threading").Lock, 1))).result(30)
    assert callable(error)
    lock = shared_pool.submit(__import__("threading").Lock).exception(30)
    assert isinstance(lock, SerializationError)
    assert "the task's result does not pickle" in str(lock)
