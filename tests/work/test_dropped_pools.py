"""Pools that nobody shuts down: they finish what they took on, and end, whatever else is still held."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import psutil
import pytest

from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from tests.support.waiting import until

AllGone = Callable[[list[int], float], list[int]]


def started(client: IrisClient) -> tuple[WorkerPool, list[int]]:
    pool = WorkerPool(client, num_workers=1)
    pool.wait_for_workers(timeout=60)
    return pool, [info.pid for info in pool.status().worker_infos]


def touch(path: Path) -> None:
    path.touch()


@pytest.mark.parametrize("taken", [0, 1, 5])
@pytest.mark.parametrize("chunksize", [1, 7])
def test_a_map_of_known_length_that_is_held_is_finished_and_its_results_stay(
    client: IrisClient, all_gone: AllGone, taken: int, chunksize: int
) -> None:
    pool, pids = started(client)
    results = pool.map(abs, range(-100, 0), chunksize=chunksize)
    assert list(itertools.islice(results, taken)) == list(range(100, 100 - taken, -1))
    del pool
    gc.collect()
    assert all_gone(pids, 30) == []
    assert list(results) == list(range(100 - taken, 0, -1))


def test_a_map_that_was_read_to_its_end_holds_nothing(client: IrisClient, all_gone: AllGone) -> None:
    pool, pids = started(client)
    results = pool.map(abs, iter(range(50)))
    assert list(results) == list(range(50))
    held = pool.map(abs, iter(range(3)))  # of unknown length, and read whole at once
    del pool
    gc.collect()
    assert all_gone(pids, 30) == []
    assert list(held) == [0, 1, 2]


def test_futures_and_shared_objects_that_are_held_hold_no_pool(client: IrisClient, all_gone: AllGone) -> None:
    pool, pids = started(client)
    shared = pool.put(list(range(1000)))
    futures: list[Future[int]] = [pool.submit(len, shared) for _ in range(20)]
    del pool
    gc.collect()
    assert [future.result(30) for future in futures] == [1000] * 20
    assert all_gone(pids, 30) == []
    assert "Shared" in repr(shared)


def test_an_iterator_over_an_endless_input_keeps_its_pool_until_it_is_closed(
    client: IrisClient, all_gone: AllGone
) -> None:
    pool, pids = started(client)
    results = pool.map(abs, itertools.count())
    later = pool.options(timeout=60).map(abs, itertools.count())
    del pool
    gc.collect()
    assert list(itertools.islice(results, 50)) == list(range(50))
    assert list(itertools.islice(later, 50)) == list(range(50))
    assert all(psutil.pid_exists(pid) for pid in pids)
    del results, later
    gc.collect()
    assert all_gone(pids, 30) == []


def test_an_executor_of_options_is_the_pool_and_keeps_it(client: IrisClient, all_gone: AllGone) -> None:
    pool, pids = started(client)
    executor = pool.options(timeout=60)
    del pool
    gc.collect()
    assert executor.submit(abs, -1).result(30) == 1
    assert list(executor.map(abs, range(-3, 0))) == [3, 2, 1]
    del executor
    gc.collect()
    assert all_gone(pids, 30) == []


@pytest.mark.parametrize("sized", [True, False])
def test_a_pool_and_a_map_that_are_dropped_together_do_all_the_same(
    client: IrisClient, all_gone: AllGone, tmp_path: Path, sized: bool
) -> None:
    paths = [tmp_path / str(n) for n in range(60)]
    pool, pids = started(client)
    pool.map(touch, paths if sized else iter(paths))
    del pool
    gc.collect()
    until(lambda: len(list(tmp_path.iterdir())) == 60, timeout=30)
    assert all_gone(pids, 30) == []


def test_an_input_is_not_read_in_the_thread_that_drops_the_pool(
    client: IrisClient, all_gone: AllGone
) -> None:
    class Threads:
        def __init__(self) -> None:
            self.seen: set[str] = set()

        def __len__(self) -> int:
            return 30

        def __iter__(self) -> Iterator[int]:
            for n in range(30):
                self.seen.add(threading.current_thread().name)
                yield n

    pool, pids = started(client)
    numbers = Threads()
    results = pool.map(abs, numbers)
    numbers.seen.clear()
    del pool
    gc.collect()
    assert all_gone(pids, 30) == []
    assert numbers.seen == {"iris-map"}
    assert list(results) == list(range(30))
