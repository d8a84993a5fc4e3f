from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path

import pytest
from tqdm import tqdm

from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.task_executor import MOST_AHEAD
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from tests.support.waiting import until


def square(n: int) -> int:
    return n * n


def reciprocal(n: int) -> float:
    return 1 / n


def read(path: str) -> str:
    return Path(path).read_text()


class Counted:
    """An endless input that knows how far it was read."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[int]:
        for self.taken in itertools.count(1):
            yield self.taken - 1


@pytest.mark.parametrize("chunksize", [1, 7, 1000])
def test_results_come_in_the_order_of_the_input(shared_pool: WorkerPool, chunksize: int) -> None:
    results = list(shared_pool.map(square, range(500), chunksize=chunksize))
    assert results == [n * n for n in range(500)]


def test_several_iterables_end_with_the_shortest(shared_pool: WorkerPool) -> None:
    assert list(shared_pool.map(pow, [2, 3, 4], [3, 2])) == [8, 9]
    assert list(shared_pool.map(pow, [2, 3, 4], itertools.repeat(2), chunksize=2)) == [4, 9, 16]
    assert list(shared_pool.map(square, [])) == []


@pytest.mark.parametrize(("chunksize", "buffersize", "most"), [(1, 4, 5), (10, 20, 30), (3, 1, 6)])
def test_an_endless_input_is_read_only_as_far_as_asked(
    shared_pool: WorkerPool, chunksize: int, buffersize: int, most: int
) -> None:
    source = Counted()
    results = shared_pool.map(square, source, chunksize=chunksize, buffersize=buffersize)
    assert source.taken <= buffersize + chunksize
    assert next(results) == 0
    assert source.taken <= most
    assert list(itertools.islice(results, 50)) == [n * n for n in range(1, 51)]
    assert source.taken <= 51 + most


def test_an_endless_input_works_without_saying_anything(shared_pool: WorkerPool) -> None:
    source = Counted()
    results = shared_pool.map(square, source)
    assert list(itertools.islice(results, 1000)) == [n * n for n in range(1000)]
    assert source.taken <= 1000 + 2 * MOST_AHEAD


@pytest.mark.parametrize("chunksize", [1, 3])
def test_an_exception_comes_at_its_place_and_ends_the_map(shared_pool: WorkerPool, chunksize: int) -> None:
    results = shared_pool.map(reciprocal, [1, 2, 4, 0, 8], chunksize=chunksize)
    assert [next(results) for _ in range(3)] == [1, 0.5, 0.25]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_the_timeout_counts_from_the_call(client: IrisClient, tmp_path: Path) -> None:
    path = tmp_path / "gate"
    os.mkfifo(path)
    with WorkerPool(client, num_workers=1) as pool:
        pool.wait_for_workers(timeout=30)
        results = pool.map(read, [str(path), str(path)], timeout=0.2)
        with pytest.raises(FutureTimeoutError):
            next(results)
        path.write_text("go on")
        assert pool.submit(square, 3).result(20) == 9
        assert pool.status().tasks.done == 2, "the item that had not started was cancelled"


def test_a_map_that_is_closed_cancels_what_has_not_started(client: IrisClient, tmp_path: Path) -> None:
    path = tmp_path / "gate"
    os.mkfifo(path)
    with WorkerPool(client, num_workers=1) as pool:
        pool.wait_for_workers(timeout=30)
        results = pool.map(read, [str(path)] * 5)
        until(lambda: pool.status().tasks.running == 1)
        results.close()
        path.write_text("go on")
        assert pool.submit(square, 3).result(20) == 9
        assert pool.status().tasks.done == 2


def test_progress_is_a_bar(
    shared_pool: WorkerPool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tqdm, "monitor_interval", 0)
    assert list(shared_pool.map(square, range(30), progress=True, chunksize=4)) == [n * n for n in range(30)]
    assert "30/30" in capsys.readouterr().err
    assert list(shared_pool.map(square, (n for n in (1, 2)), progress=True)) == [1, 4]
    assert "2it" in capsys.readouterr().err


def test_bad_arguments_are_refused_at_the_call(shared_pool: WorkerPool) -> None:
    for bad in ({"chunksize": 0}, {"buffersize": 0}, {"timeout": -1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            shared_pool.map(square, [1], **bad)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="callable"):
        shared_pool.map(None, [1])  # type: ignore[arg-type]
