"""A WorkerPool in asyncio programs."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import Future
from pathlib import Path

import pytest

from iris_actor import WorkerPool
from iris_actor.errors import RemoteTraceback
from tests.support.waiting import until, until_async


def square(number: int) -> int:
    return number * number


def fail(text: str) -> None:
    raise ValueError(text)


def hold(gate: Path) -> int:
    """Returns once `gate` is there."""
    until(gate.exists)
    return os.getpid()


async def test_run_in_executor_gives_the_value_of_a_worker(pool: WorkerPool):
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(pool, square, 7) == 49
    assert await loop.run_in_executor(pool, os.getpid) in {info.pid for info in pool.status().worker_infos}


async def test_run_in_executor_raises_what_the_function_raised_with_its_remote_traceback(pool: WorkerPool):
    with pytest.raises(ValueError, match="too odd") as caught:
        await asyncio.get_running_loop().run_in_executor(pool, fail, "too odd")
    assert isinstance(caught.value.__cause__, RemoteTraceback)


async def test_a_wrapped_future_may_be_awaited(pool: WorkerPool):
    assert await asyncio.wrap_future(pool.submit(square, 8)) == 64


async def test_a_thousand_tasks_may_be_gathered(pool: WorkerPool):
    loop = asyncio.get_running_loop()
    results = await asyncio.gather(*(loop.run_in_executor(pool, square, n) for n in range(1000)))
    assert results == [n * n for n in range(1000)]


async def test_results_may_be_taken_as_they_are_completed(pool: WorkerPool):
    wrapped = [asyncio.wrap_future(pool.submit(square, n)) for n in range(50)]
    assert sorted([await each for each in asyncio.as_completed(wrapped)]) == [n * n for n in range(50)]


async def test_the_loop_goes_on_while_workers_are_busy(pool: WorkerPool, tmp_path: Path):
    gate = tmp_path / "gate"
    held = asyncio.get_running_loop().run_in_executor(pool, hold, gate)
    await until_async(lambda: pool.status().workers.busy == 1)
    assert not held.done()
    gate.touch()
    assert await held


async def test_cancelling_the_asyncio_future_of_a_queued_task_cancels_the_task(
    pool: WorkerPool, tmp_path: Path
):
    def hold_here(gate: Path) -> int:  # unknown to the pool, which hence takes it for long
        return hold(gate)

    gate = tmp_path / "gate"
    held = [asyncio.wrap_future(pool.submit(hold_here, gate)) for _ in range(2)]
    await until_async(lambda: pool.status().workers.busy == 2)
    queued: list[Future[int]] = [pool.submit(hold_here, gate) for _ in range(3)]
    waiting = [asyncio.wrap_future(future) for future in queued]
    for future in waiting[:2]:
        future.cancel()
    await until_async(lambda: all(future.cancelled() for future in queued[:2]))
    assert not queued[2].cancelled()
    gate.touch()
    await asyncio.gather(*held, waiting[2])
    assert [future.cancelled() for future in queued] == [True, True, False]


async def test_a_timeout_around_a_queued_task_cancels_it(pool: WorkerPool, tmp_path: Path):
    def hold_here(gate: Path) -> int:
        return hold(gate)

    gate = tmp_path / "gate"
    held = [asyncio.wrap_future(pool.submit(hold_here, gate)) for _ in range(2)]
    await until_async(lambda: pool.status().workers.busy == 2)
    queued = pool.submit(hold_here, gate)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.wrap_future(queued)
    await until_async(queued.cancelled)
    gate.touch()
    await asyncio.gather(*held)


async def test_asyncio_takes_only_threads_for_its_default_executor(pool: WorkerPool):
    """Its rule since 3.11, not ours: getaddrinfo and the like run there, no work for other processes."""
    with pytest.raises(TypeError, match="ThreadPoolExecutor"):
        asyncio.get_running_loop().set_default_executor(pool)


def test_one_pool_serves_several_loops_one_after_the_other(pool: WorkerPool):
    async def main() -> int:
        return await asyncio.get_running_loop().run_in_executor(pool, square, 6)

    assert [asyncio.run(main()) for _ in range(3)] == [36, 36, 36]
