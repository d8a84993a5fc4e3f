"""tqdm's bars over a WorkerPool, and its `contrib.concurrent` with one."""

from __future__ import annotations

import concurrent.futures
import io
import re
import sys
from concurrent.futures import as_completed

import pytest
import tqdm.contrib.concurrent
from tqdm import tqdm as bar_class

from iris_actor import WorkerPool
from iris_actor.integrations.tqdm import process_map


@pytest.fixture(autouse=True)
def _no_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps tqdm from starting its thread, which redraws bars that are slow and lasts for ever."""
    monkeypatch.setattr(bar_class, "monitor_interval", 0)


def square(number: int) -> int:
    return number * number


def add(left: int, right: int) -> int:
    return left + right


def talk(number: int) -> int:
    print(f"number {number}", file=sys.stderr)
    return number


def fail(number: int) -> int:
    raise ValueError(f"number {number}")


def last_count(text: str) -> str:
    """The last "n/total" that a bar showed."""
    return re.findall(r"(\d+/\d+) \[", text)[-1]


def test_a_bar_over_map_counts_results(pool: WorkerPool):
    out = io.StringIO()
    assert list(bar_class(pool.map(square, range(30)), total=30, file=out)) == [n * n for n in range(30)]
    assert last_count(out.getvalue()) == "30/30"


def test_a_bar_over_as_completed_counts_futures(pool: WorkerPool):
    out = io.StringIO()
    futures = [pool.submit(square, n) for n in range(30)]
    done = bar_class(as_completed(futures), total=len(futures), file=out)
    assert sorted(future.result() for future in done) == [n * n for n in range(30)]
    assert last_count(out.getvalue()) == "30/30"


def test_our_process_map_takes_a_pool_and_leaves_it_open(pool: WorkerPool):
    out = io.StringIO()
    sums = process_map(add, range(20), range(25), pool=pool, file=out, desc="sums", lock_name="mp_lock")
    assert sums == [2 * n for n in range(20)]
    assert "sums: 100%" in out.getvalue()
    assert last_count(out.getvalue()) == "20/20"
    squares = process_map(square, range(5000), pool=pool, chunksize=100, file=out)
    assert squares == [n * n for n in range(5000)]
    assert last_count(out.getvalue()) == "5000/5000"
    assert pool.submit(square, 2).result(20) == 4


def test_our_process_map_starts_workers_when_it_is_given_no_pool():
    assert process_map(square, iter([1, 2, 3]), max_workers=2, file=io.StringIO()) == [1, 4, 9]


def test_our_process_map_raises_what_the_function_raises(pool: WorkerPool):
    with pytest.raises(ValueError, match="number 0"):
        process_map(fail, range(10), pool=pool, file=io.StringIO())


def test_our_process_map_refuses_what_is_no_pool_and_two_sizes(pool: WorkerPool):
    with pytest.raises(TypeError, match="pool must be a WorkerPool"):
        process_map(square, [1], pool=4)
    with pytest.raises(ValueError, match="max_workers"):
        process_map(square, [1], pool=pool, max_workers=2)


def test_tqdms_own_process_map_runs_where_a_worker_pool_stands_in_for_the_executor(
    monkeypatch: pytest.MonkeyPatch,
):
    """What tqdm's documentation has no argument for, people do by this patch."""
    monkeypatch.setattr(concurrent.futures, "ProcessPoolExecutor", WorkerPool)
    out = io.StringIO()
    results = tqdm.contrib.concurrent.process_map(
        square, range(20), max_workers=2, file=out, tqdm_class=bar_class, chunksize=1
    )
    assert results == [n * n for n in range(20)]
    assert last_count(out.getvalue()) == "20/20"


def test_tqdms_own_thread_map_runs_where_a_worker_pool_stands_in_for_the_executor(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", WorkerPool)
    out = io.StringIO()
    assert tqdm.contrib.concurrent.thread_map(square, [1, 2, 3], max_workers=1, file=out) == [1, 4, 9]
    assert last_count(out.getvalue()) == "3/3"


def test_what_workers_print_does_not_tear_the_bar(capsys: pytest.CaptureFixture[str]):
    assert process_map(talk, range(20), max_workers=2, mininterval=0) == list(range(20))
    written = capsys.readouterr().err
    for number in range(20):
        assert re.search(rf"^(.*\r)?\[worker-\d\] number {number}$", written, re.MULTILINE), written
