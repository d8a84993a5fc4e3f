"""`map` as `concurrent.futures` has it: its input, its errors, its end, and what becomes of it unread."""

from __future__ import annotations

import gc
import itertools
import operator
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any

import pytest

from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from tests.support.gate import Gate, wait_at
from tests.support.waiting import until


def touch(path: Path) -> None:
    path.touch()


def reciprocal(n: int) -> float:
    return 1 / n


def raises(kind: type[BaseException]) -> None:
    raise kind("mine")


class Falsy(Exception):
    def __len__(self) -> int:
        return 0


def then_fail(items: int) -> Iterator[int]:
    yield from range(1, items + 1)
    raise LookupError("the input ends here")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- what goes in -------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 6, 39, 40, 50])
@pytest.mark.parametrize("buffersize", [None, 1, 7, 100])
def test_all_results_come_whatever_the_sizes_of_chunks_and_buffer(
    shared_pool: WorkerPool, chunksize: int, buffersize: int | None
) -> None:
    results = shared_pool.map(pow, range(40), range(40), chunksize=chunksize, buffersize=buffersize)
    assert list(results) == [n**n for n in range(40)]


@pytest.mark.parametrize("options", [{}, {"buffersize": 2}, {"chunksize": 3}])
def test_no_input_gives_no_results(shared_pool: WorkerPool, options: Any) -> None:
    assert list(shared_pool.map(str, [], **options)) == []
    assert list(shared_pool.map(str, **options)) == []
    assert list(shared_pool.map(pow, [], itertools.count(), **options)) == []


def test_several_endless_inputs_are_read_side_by_side(shared_pool: WorkerPool) -> None:
    left, right = itertools.count(), itertools.count(100)
    results = shared_pool.map(operator.add, left, right, buffersize=2)
    assert list(itertools.islice(results, 5)) == [100, 102, 104, 106, 108]
    assert next(left) == 7
    assert next(right) == 107


def test_nothing_is_submitted_beyond_the_buffer(client: IrisClient) -> None:
    source = iter(range(10))
    with WorkerPool(client, num_workers=2) as pool:
        results = pool.map(str, source, buffersize=3)
    assert next(source) == 3
    assert pool.status().tasks.done == 3
    assert list(itertools.islice(results, 3)) == ["0", "1", "2"]
    with pytest.raises(RuntimeError, match="after shutdown"):
        next(results)


@pytest.mark.parametrize("name", ["chunksize", "buffersize"])
def test_sizes_are_checked_at_the_call(shared_pool: WorkerPool, name: str) -> None:
    for bad, kind in ((0, ValueError), (-1, ValueError), (2.0, TypeError), ("two", TypeError)):
        with pytest.raises(kind, match=rf"{name} must be .*{bad!r}"):
            shared_pool.map(str, range(4), **{name: bad})


def test_inputs_and_timeouts_are_checked_at_the_call(shared_pool: WorkerPool) -> None:
    unchecked: Any = shared_pool.map
    with pytest.raises(TypeError, match="iterable"):
        unchecked(str, 3)
    with pytest.raises(TypeError, match="fn"):
        unchecked()
    for bad in ("soon", True):
        with pytest.raises(TypeError, match="timeout must be a number"):
            unchecked(str, [1], timeout=bad)
    for bad in (-1, float("nan")):
        with pytest.raises(ValueError, match="timeout must not be negative"):
            unchecked(str, [1], timeout=bad)


def test_functions_that_do_not_pickle_fail_when_their_result_is_taken(shared_pool: WorkerPool) -> None:
    lock = threading.Lock()
    for chunksize in (1, 2):
        results = shared_pool.map(lambda n: (n, lock), range(3), chunksize=chunksize)
        with pytest.raises(TypeError, match="lock"):
            next(results)


# --- what goes wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 3, 8])
@pytest.mark.parametrize("items", [0, 2, 7, 30])
def test_an_exception_of_the_input_comes_after_the_results_of_what_it_gave(
    shared_pool: WorkerPool, chunksize: int, items: int
) -> None:
    results = shared_pool.map(abs, then_fail(items), chunksize=chunksize)
    assert [next(results) for _ in range(items)] == list(range(1, items + 1))
    with pytest.raises(LookupError, match="the input ends here"):
        next(results)
    assert list(results) == []


def test_an_exception_of_a_call_in_the_middle_ends_the_map_and_cancels_the_rest(
    client: IrisClient, tmp_path: Path
) -> None:
    with WorkerPool(client, num_workers=1) as pool, Gate(tmp_path) as gate:
        results = pool.map(divmod, [7, 7, 7], [2, 0, 3], buffersize=3)
        running = pool.submit(wait_at, gate.name)
        assert next(results) == (3, 1)
        later = pool.map(divmod, [7, 7, 7, 7], [0, 1, 2, 3], buffersize=4)
        with pytest.raises(ZeroDivisionError):
            next(results)
        assert list(results) == []
        until(running.running)
        gate.open()
        with pytest.raises(ZeroDivisionError):
            next(later)
        assert list(later) == []
        assert pool.submit(abs, -1).result(20) == 1


@pytest.mark.parametrize("kind", [TimeoutError, CancelledError, SystemExit, KeyboardInterrupt, Falsy])
def test_the_iterator_raises_whatever_the_function_raised(
    shared_pool: WorkerPool, kind: type[BaseException]
) -> None:
    for timeout in (None, 30):
        for chunksize in (1, 2):
            results = shared_pool.map(raises, [kind, kind], timeout=timeout, chunksize=chunksize)
            with pytest.raises(kind, match="mine"):
                next(results)
            assert list(results) == []


@pytest.mark.parametrize("chunksize", [1, 2])
def test_a_function_that_raises_stop_iteration_does_not_look_like_the_end(
    shared_pool: WorkerPool, chunksize: int
) -> None:
    results = shared_pool.map(raises, [StopIteration], chunksize=chunksize)
    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        next(results)
    assert isinstance(caught.value.__cause__, StopIteration)
    assert list(results) == []


def test_a_timeout_of_the_map_ends_it_and_cancels_the_rest(client: IrisClient, tmp_path: Path) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        with Gate(tmp_path) as gate:
            running = pool.submit(wait_at, gate.name)
            until(running.running)
            for timeout in (0, 0.05):
                results = pool.map(touch, [tmp_path / "one", tmp_path / "two"], timeout=timeout)
                with pytest.raises(FutureTimeoutError):
                    next(results)
                assert list(results) == []
        assert running.result(20) is None
        assert pool.submit(abs, -1).result(20) == 1
    assert names(tmp_path) == {"gate"}


# --- how it ends --------------------------------------------------------------------------------------


def test_closing_an_iterator_ends_it(shared_pool: WorkerPool) -> None:
    for chunksize in (1, 3):
        results: Any = shared_pool.map(divmod, [5, 5, 5, 5], [2, 0, 3, 5], chunksize=chunksize, buffersize=4)
        if chunksize == 1:
            assert next(results) == (2, 1)
        results.close()
        results.close()
        assert list(results) == []


def test_an_iterator_that_is_dropped_half_way_cancels_what_has_not_started(
    client: IrisClient, tmp_path: Path
) -> None:
    def open_at(folder: Path, n: int) -> int:
        if n == 0:
            sum(range(1_000_000))  # so long that a worker is not given many at a time
        else:
            wait_at(str(folder / "gate"))
        (folder / str(n)).touch()
        return n

    with WorkerPool(client, num_workers=1) as pool:
        with Gate(tmp_path):
            results = pool.map(open_at, itertools.repeat(tmp_path), range(30))
            assert next(results) == 0
            until(lambda: pool.status().workers.busy == 1)
            del results
            gc.collect()
        assert pool.submit(abs, -1).result(20) == 1
    assert len(names(tmp_path)) < 10


@pytest.mark.parametrize("sized", [True, False])
def test_an_iterator_that_nobody_wants_is_run_to_its_end_as_in_the_standard_library(
    client: IrisClient, tmp_path: Path, sized: bool
) -> None:
    paths = [tmp_path / str(n) for n in range(100)]
    with WorkerPool(client, num_workers=2) as pool:
        pool.map(touch, paths if sized else iter(paths))
    assert names(tmp_path) == {path.name for path in paths}


def test_an_iterator_that_nobody_wants_needs_no_shutdown_to_go_on(
    shared_pool: WorkerPool, tmp_path: Path
) -> None:
    paths = [tmp_path / str(n) for n in range(100)]
    shared_pool.map(touch, paths)
    until(lambda: len(names(tmp_path)) == len(paths), timeout=5)


def test_an_iterator_that_nobody_wants_goes_on_after_exceptions(client: IrisClient, tmp_path: Path) -> None:
    def touch_odd(n: int) -> None:
        if n % 2 == 0:
            raise ValueError(n)
        (tmp_path / str(n)).touch()

    with WorkerPool(client, num_workers=2) as pool:
        pool.map(touch_odd, range(60))
    assert names(tmp_path) == {str(n) for n in range(1, 60, 2)}


@pytest.mark.parametrize("chunksize", [1, 3])
def test_results_may_be_taken_when_the_pool_is_shut_down(client: IrisClient, chunksize: int) -> None:
    pool = WorkerPool(client, num_workers=2)
    results = pool.map(abs, iter(range(100)), chunksize=chunksize)
    failing = pool.map(abs, then_fail(50), chunksize=chunksize)
    with pytest.raises(LookupError, match="the input ends here"):
        pool.shutdown()
    assert list(results) == list(range(100))
    assert list(itertools.islice(failing, 50)) == list(range(1, 51))
    with pytest.raises(LookupError, match="the input ends here"):
        next(failing)


def test_after_the_first_result_the_consumer_decides_how_far_the_input_is_read(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        results = pool.map(abs, itertools.count())
        assert next(results) == 0
    taken = []
    with pytest.raises(RuntimeError, match="after shutdown"):
        taken.extend(results)
    assert taken == list(range(1, len(taken) + 1))


def test_leaving_by_an_exception_does_not_read_an_input_that_was_not_begun(client: IrisClient) -> None:
    def leave() -> None:
        with WorkerPool(client, num_workers=1) as pool:
            results.append(pool.map(abs, itertools.count()))
            raise LookupError("of the block")

    results: list[Iterator[int]] = []
    with pytest.raises(LookupError, match="of the block"):
        leave()
    with pytest.raises(RuntimeError, match="after shutdown"):
        list(results[0])


def test_cancel_futures_cancels_a_map_too(client: IrisClient, tmp_path: Path) -> None:
    with WorkerPool(client, num_workers=1) as pool, Gate(tmp_path) as gate:
        running = pool.submit(wait_at, gate.name)
        until(running.running)
        results = pool.map(touch, (tmp_path / str(n) for n in range(100)))
        pool.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(CancelledError):
            next(results)
    assert names(tmp_path) == {"gate"}


def test_an_iterator_keeps_its_pool_until_it_ends_and_no_longer(client: IrisClient) -> None:
    pool = WorkerPool(client, num_workers=1)
    name = pool.name
    results = pool.map(abs, range(200))
    reference = weakref.ref(pool)
    del pool
    gc.collect()
    assert next(results) == 0
    assert list(results) == list(range(1, 200)), name
    gc.collect()
    assert reference() is None


def test_an_input_may_use_the_pool_while_it_is_read(shared_pool: WorkerPool) -> None:
    def source() -> Iterator[int]:
        for n in range(5):
            yield shared_pool.submit(abs, -n).result(20)

    assert list(shared_pool.map(abs, source())) == [0, 1, 2, 3, 4]
    nested = shared_pool.map(abs, shared_pool.map(operator.neg, range(20)))
    assert list(nested) == list(range(20))


def test_an_input_may_shut_its_pool_down(client: IrisClient) -> None:
    def source() -> Iterator[int]:
        yield 1
        pool.shutdown(wait=False)
        yield 2

    with WorkerPool(client, num_workers=1) as pool:
        results = pool.map(abs, source())
        assert next(results) == 1
        with pytest.raises(RuntimeError, match="after shutdown"):
            next(results)
