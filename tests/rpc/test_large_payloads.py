"""Large arguments and results: whole, writable, private to each side, and no obstacle to small calls."""

from __future__ import annotations

import os
import time

import numpy as np
import psutil
import pytest

from tests.support.processes import ServerProcess
from tests.support.serving import hosting, lookup_at

pytestmark = pytest.mark.usefixtures("each_carrier")

MB = 1_000_000


class Arrays:
    def __init__(self) -> None:
        self.kept = np.zeros(4 * MB, np.uint8)

    def echo(self, value):
        return value

    def total(self, array: np.ndarray) -> int:
        return int(array.sum())

    def writable(self, array: np.ndarray) -> bool:
        array[0] = 7
        return bool(array.flags.writeable and array[0] == 7)

    def bump(self) -> np.ndarray:
        self.kept += 1
        return self.kept


@pytest.fixture
def hosted():
    with hosting(Arrays()) as hosted:
        yield hosted


def test_300_mb_there_and_back_while_small_calls_flow_on_the_same_session():
    array = np.arange(300 * MB // 8)
    with ServerProcess() as server:
        pool = lookup_at(server.address)
        pool.call(timeout=20).identify()
        pool.call(timeout=50).echo(array[: 10 * MB])
        started = time.monotonic()
        future = pool.submit().echo(array)
        waits = []
        while not future.done():
            before = time.monotonic()
            pool.call(timeout=50).identify()
            waits.append(time.monotonic() - before)
        duration = time.monotonic() - started
        back = future.result(1)
    assert np.array_equal(back, array)
    assert back.flags.writeable
    assert len(waits) >= 10
    assert max(waits) < duration / 2, f"worst of {len(waits)} small calls beside {duration:.2f} s"
    assert sorted(waits)[len(waits) // 2] < duration / 20


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.complex128])
@pytest.mark.parametrize("elements", [10, 8_192, 65_536, 3 * MB + 1])
def test_arrays_of_every_size_come_back_equal_and_writable(hosted, dtype, elements):
    array = (np.arange(elements) % 251).astype(dtype)
    back = hosted.pool.call(timeout=20).echo(array)
    assert np.array_equal(back, array)
    assert back.dtype == dtype
    back[0] = 1
    assert hosted.pool.call(timeout=20).writable(array)
    assert array[0] == 0, "the caller's array is its own"


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 2**20 - 1, 2**20, 2**20 + 1, 5 * 2**20])
def test_bytes_around_every_threshold_come_back_equal(hosted, size):
    data = os.urandom(size)
    assert hosted.pool.call(timeout=20).echo(data) == data


def test_a_structure_of_many_arrays_comes_back_equal(hosted):
    value = {f"a{i}": np.full(100_000 + i, i, np.int32) for i in range(40)}
    back = hosted.pool.call(timeout=20).echo(value)
    assert back.keys() == value.keys()
    assert all(np.array_equal(back[key], value[key]) for key in value)


def test_arguments_may_be_changed_as_soon_as_submit_returns(hosted):
    array = np.ones(16 * MB, np.uint8)
    futures = []
    for _ in range(5):
        array[:] = 1
        futures.append(hosted.pool.submit().total(array))
        array[:] = 0
    assert [future.result(20) for future in futures] == [16 * MB] * 5


async def test_arguments_may_be_changed_as_soon_as_acall_was_entered(hosted):
    import asyncio

    array = np.ones(8 * MB, np.uint8)
    task = asyncio.create_task(hosted.pool.acall(timeout=20).total(array))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    array[:] = 0
    assert await task == 8 * MB


def test_a_result_that_the_actor_changes_afterwards_arrives_as_it_was(hosted):
    # The next call changes the array while the result of the one before it is on its way.
    futures = [hosted.pool.submit().bump() for _ in range(30)]
    for number, future in enumerate(futures, 1):
        assert (future.result(20) == number).all()


def test_a_received_array_keeps_its_content_while_others_arrive(hosted):
    first = hosted.pool.call(timeout=20).bump()
    later = [hosted.pool.call(timeout=20).bump() for _ in range(10)]
    assert (first == 1).all()
    assert [int(array[0]) for array in later] == list(range(2, 12))


def test_a_view_of_a_received_array_keeps_its_memory(hosted):
    array = np.arange(2 * MB)
    view = hosted.pool.call(timeout=20).echo(array)[1000:1010]
    for _ in range(10):
        hosted.pool.call(timeout=20).echo(np.zeros(2 * MB))
    assert view.tolist() == list(range(1000, 1010))


def test_memory_is_used_again_instead_of_growing():
    array = np.ones(32 * MB, np.uint8)
    with ServerProcess() as server:
        pool = lookup_at(server.address)
        here, there = psutil.Process(), psutil.Process(server.pid)

        def after(echoes: int) -> tuple[int, int]:
            for _ in range(echoes):
                assert pool.call(timeout=20).echo(array)[-1] == 1
            return here.memory_info().rss, there.memory_info().rss

        first = after(5)
        last = after(25)
    for before, now in zip(first, last, strict=True):
        assert now - before < 4 * array.nbytes, f"grew by {(now - before) / MB:.0f} MB in 25 echoes"


def test_many_large_calls_at_a_time_are_all_answered():
    with hosting(Arrays(), max_concurrency=4) as hosted:
        arrays = [np.full(4 * MB, i, np.uint8) for i in range(16)]
        futures = [hosted.pool.submit().echo(array) for array in arrays]
        for number, future in enumerate(futures):
            back = future.result(30)
            assert back.nbytes == 4 * MB
            assert (back == number).all()
