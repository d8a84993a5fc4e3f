"""dask with a WorkerPool as its scheduler: to the last bit what it computes in one thread."""

from __future__ import annotations

import os
from pathlib import Path

import dask
import dask.array
import dask.bag
import numpy as np
import pytest

from iris_actor import WorkerPool
from tests.support.waiting import until


@dask.delayed
def add(left: int, right: int) -> int:
    return left + right


@dask.delayed
def fail(number: int) -> int:
    raise LookupError(f"number {number}")


@dask.delayed
def pid_after(path: Path, count: int) -> int:
    """This process, once `count` tasks of it run at the same time."""
    (path / str(os.getpid())).touch()
    until(lambda: len(list(path.iterdir())) >= count)
    return os.getpid()


def test_a_graph_of_delayed_calls_gives_what_it_gives_in_one_thread(working_pool: WorkerPool):
    totals = [add(number, 1) for number in range(10)]
    while len(totals) > 1:
        totals = [add(*totals[:2]), *totals[2:]]
    assert totals[0].compute(scheduler=working_pool) == totals[0].compute(scheduler="synchronous") == 55


def test_all_workers_take_part_and_no_more_is_submitted_than_there_are(
    working_pool: WorkerPool, tmp_path: Path
):
    (pids,) = dask.compute([pid_after(tmp_path, 2) for _ in range(2)], scheduler=working_pool)
    assert set(pids) == {info.pid for info in working_pool.status().worker_infos}


def test_an_array_gives_what_it_gives_in_one_thread(working_pool: WorkerPool):
    array = dask.array.random.default_rng(7).normal(size=(600, 400), chunks=(200, 200))
    result = ((array * 2 + array[::-1]).mean(axis=0), array.std(), (array > 1).sum())
    serial = dask.compute(*result, scheduler="synchronous")
    for one, other in zip(dask.compute(*result, scheduler=working_pool), serial, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_bag_with_lambdas_gives_what_it_gives_in_one_thread(working_pool: WorkerPool):
    bag = dask.bag.from_sequence(range(200), npartitions=8)
    tens = (
        bag.filter(lambda n: n % 3 == 0).map(lambda n: n * n).foldby(lambda n: n % 10, lambda a, b: a + b, 0)
    )
    assert sorted(tens.compute(scheduler=working_pool)) == sorted(tens.compute(scheduler="synchronous"))


def test_the_pool_may_be_set_for_a_block(working_pool: WorkerPool, tmp_path: Path):
    with dask.config.set(scheduler=working_pool):
        assert pid_after(tmp_path, 1).compute() in {info.pid for info in working_pool.status().worker_infos}


def test_an_error_in_a_task_arrives(working_pool: WorkerPool):
    with pytest.raises(LookupError, match="number 3"):
        dask.compute([fail(3), add(1, 2)], scheduler=working_pool)
    assert add(1, 2).compute(scheduler=working_pool) == 3
