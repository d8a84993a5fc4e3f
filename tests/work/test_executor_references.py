"""Nothing is kept: no argument, result or future that is done with, no thread or file of a pool that is."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, as_completed
from pathlib import Path
from typing import Any

import pytest

from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from tests.support.gate import Gate, wait_at
from tests.support.waiting import until


class Data:
    """Something that can be referred to weakly."""


class Carrier(Exception):
    """Carries something."""

    def __init__(self) -> None:
        super().__init__("carried")
        self.data = Data()


def carry(*args: Any) -> None:
    raise Carrier


def make(*args: Any) -> Data:
    return Data()


class Watched:
    """Weak references to what should go away without the help of the cyclic collector."""

    def __init__(self) -> None:
        self._references: list[weakref.ref[Any]] = []

    def add(self, *things: Any) -> None:
        self._references += [weakref.ref(thing) for thing in things]

    def gone(self) -> None:
        """Wait until all of them are."""
        until(lambda: not self.alive, timeout=5, what="the end of all that is watched")

    @property
    def alive(self) -> list[Any]:
        return [thing for reference in self._references if (thing := reference()) is not None]


@pytest.fixture
def watched() -> Iterator[Watched]:
    """With the cyclic collector off: what goes away does so at once."""
    gc.collect()
    gc.disable()
    try:
        yield Watched()
    finally:
        gc.enable()


def settle(pool: WorkerPool) -> None:
    """Returns when each thread of the pool has been busy with something else."""
    for _ in range(2):
        behind = threading.Event()
        pool.submit(abs, 1).add_done_callback(lambda _, behind=behind: behind.set())  # type: ignore[misc]
        assert behind.wait(20)


# --- in the driver ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fn", [make, carry])
def test_arguments_go_when_the_task_is_over_though_its_future_stays(
    shared_pool: WorkerPool, watched: Watched, fn: Callable[..., Any]
) -> None:
    argument, keyword = Data(), Data()
    watched.add(argument, keyword)
    future = shared_pool.submit(dict if fn is make else carry, [(1, argument)])
    other = shared_pool.submit(make, keyword)
    future.exception(20), other.exception(20)
    settle(shared_pool)
    del argument, keyword
    watched.gone()
    assert future.done()


def test_results_and_exceptions_go_with_their_futures(shared_pool: WorkerPool, watched: Watched) -> None:
    good, bad = shared_pool.submit(make), shared_pool.submit(carry)
    error: Any = bad.exception(20)
    watched.add(good, bad, good.result(20), error, error.data)
    settle(shared_pool)
    del good, bad, error
    watched.gone()


def test_an_exception_that_was_raised_goes_when_it_is_handled(
    shared_pool: WorkerPool, watched: Watched
) -> None:
    for timeout in (None, 20):
        try:
            shared_pool.submit(carry).result(timeout)
        except Carrier as error:
            watched.add(error, error.data)
    settle(shared_pool)
    watched.gone()


def test_a_future_that_nobody_keeps_goes_and_so_does_its_result(
    shared_pool: WorkerPool, watched: Watched
) -> None:
    seen = threading.Event()

    def look(future: Future[Data]) -> None:
        watched.add(future, future.result())
        seen.set()

    argument = Data()
    watched.add(argument)
    shared_pool.submit(make, argument).add_done_callback(look)
    del argument
    assert seen.wait(20)
    settle(shared_pool)
    watched.gone()


def test_a_cancelled_task_keeps_nothing_once_its_turn_has_passed(
    client: IrisClient, watched: Watched, tmp_path: Path
) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        with Gate(tmp_path) as gate:
            running = pool.submit(wait_at, gate.name)
            until(running.running)
            argument = Data()
            future = pool.submit(make, argument)
            watched.add(argument, future)
            assert future.cancel()
            del argument, future
        running.result(20)
        settle(pool)
        watched.gone()


def test_what_does_not_pickle_is_not_kept(shared_pool: WorkerPool, watched: Watched) -> None:
    def submit() -> None:
        argument, captured = Data(), Data()
        argument.lock = captured.lock = threading.Lock()  # type: ignore[attr-defined]
        watched.add(argument, captured)
        for future in (shared_pool.submit(make, argument), shared_pool.submit(lambda: captured)):
            assert isinstance(future.exception(20), TypeError)

    submit()
    settle(shared_pool)
    gc.collect()  # the errors of pickle hold frames in circles
    watched.gone()


def test_a_function_goes_with_its_closure(shared_pool: WorkerPool, watched: Watched) -> None:
    def submit() -> None:
        captured, method = Data(), Carrier()
        function = lambda: captured is None  # noqa: E731
        watched.add(captured, function, method)
        assert shared_pool.submit(function).result(20) is False
        assert list(shared_pool.map(lambda n, function=function: n, range(10))) == list(range(10))
        assert shared_pool.submit(method.__str__).result(20) == "carried"

    submit()
    settle(shared_pool)
    gc.collect()  # a function and its closure are a circle
    watched.gone()


@pytest.mark.parametrize("chunksize", [1, 3])
def test_map_keeps_no_result_that_was_taken(
    shared_pool: WorkerPool, watched: Watched, chunksize: int
) -> None:
    counts = []
    for data in shared_pool.map(make, range(12), chunksize=chunksize):
        watched.add(data)
        del data
        counts.append(len(watched.alive))
    assert counts == [0] * 12


@pytest.mark.parametrize("chunksize", [1, 2])
def test_map_keeps_no_exception_that_was_raised(
    shared_pool: WorkerPool, watched: Watched, chunksize: int
) -> None:
    results = shared_pool.map(carry, range(5), chunksize=chunksize)
    try:
        next(results)
    except Carrier as error:
        watched.add(error, error.data)
    settle(shared_pool)
    watched.gone()
    assert list(results) == []


def test_map_lets_its_input_go_when_it_ends(shared_pool: WorkerPool, watched: Watched) -> None:
    class Source(Data):
        def __init__(self, length: int) -> None:
            self._left = length

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            self._left -= 1
            if self._left < 0:
                raise StopIteration
            return self._left

    done, closed = Source(3), Source(1000)
    watched.add(done, closed)
    first, second = shared_pool.map(abs, done), shared_pool.map(abs, closed)
    assert len(list(first)) == 3
    assert next(second) == 999
    second.close()  # type: ignore[attr-defined]
    settle(shared_pool)
    del done, closed
    watched.gone()
    assert list(second) == []


def test_as_completed_over_a_pool_keeps_no_future_that_it_gave(
    shared_pool: WorkerPool, watched: Watched
) -> None:
    for future in as_completed([shared_pool.submit(make) for _ in range(10)], timeout=20):
        watched.add(future, future.result())
    del future
    settle(shared_pool)
    watched.gone()


# --- in the worker ------------------------------------------------------------------------------------


class InWorker:
    """What tasks of one worker have seen; lives there, as this module's `seen`."""

    def __init__(self) -> None:
        self.references: list[weakref.ref[Any]] = []


seen = InWorker()


def see(*data: Any) -> Any:
    gc.disable()
    seen.references += [weakref.ref(each) for each in data]
    return data[0]


def see_and_raise(data: Data) -> None:
    see(data)
    raise Carrier


def see_and_return_a_lock(data: Any) -> Any:
    data.lock = threading.Lock()
    return see(data)


def see_keyword(*, data: Data) -> None:
    see(data)


def still_there() -> tuple[int, int]:
    return len(seen.references), sum(reference() is not None for reference in seen.references)


def test_a_worker_keeps_neither_arguments_nor_results_nor_exceptions(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        pool.submit(see, Data()).result(20)
        pool.submit(see_keyword, data=Data()).result(20)
        assert isinstance(pool.submit(see_and_raise, Data()).exception(20), Carrier)
        list(pool.map(see, [Data() for _ in range(6)], chunksize=3))
        assert pool.submit(abs, -1).result(20) == 1
        assert pool.submit(still_there).result(20) == (9, 0)


def test_a_worker_does_not_keep_a_result_that_does_not_pickle(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        assert isinstance(pool.submit(see_and_return_a_lock, Data()).exception(20), TypeError)
        assert pool.submit(abs, -1).result(20) == 1
        assert pool.submit(still_there).result(20) == (1, 0)


def test_a_worker_keeps_a_closure_no_longer_than_the_driver_keeps_the_function(client: IrisClient) -> None:
    def submit(pool: WorkerPool) -> None:
        captured = Data()
        for _ in range(3):
            pool.submit(lambda: see(captured) and None).result(20)

    with WorkerPool(client, num_workers=1) as pool:
        submit(pool)
        gc.collect()

        def looked() -> bool:
            pool.submit(abs, 1).result(20)  # tells the worker what it may forget
            return pool.submit(still_there).result(20) == (3, 0)

        until(looked)


# --- pools --------------------------------------------------------------------------------------------


def open_files() -> int:
    gc.collect()  # an old gRPC closes some when its circles are collected
    return len(list(Path("/proc/self/fd").iterdir()))


def live_threads() -> int:
    gc.collect()
    return threading.active_count()


def test_pools_that_come_and_go_leave_no_files_and_no_threads(client: IrisClient, watched: Watched) -> None:
    def use(*, drop: bool) -> None:
        pool = WorkerPool(client, num_workers=1)
        assert pool.submit(abs, -1).result(30) == 1
        watched.add(pool)
        if not drop:
            pool.shutdown()

    for drop in (False, True):
        use(drop=drop)
    files, threads = open_files(), live_threads()
    for drop in (True, False) * 3:
        use(drop=drop)
    watched.gone()
    until(lambda: live_threads() <= threads)
    # Fewer than one a pool: what gRPC opens once, and at some time, does not count.
    until(lambda: open_files() < files + 6)


def test_pools_of_their_own_clients_leave_no_files_and_no_threads_either(watched: Watched) -> None:
    def use() -> None:
        with WorkerPool(num_workers=1) as pool:
            assert pool.submit(abs, -1).result(30) == 1
            watched.add(pool)

    use()
    files, threads = open_files(), live_threads()
    for _ in range(4):
        use()
    watched.gone()
    until(lambda: live_threads() <= threads)
    until(lambda: open_files() < files + 4)


def test_many_pools_work_side_by_side(client: IrisClient) -> None:
    pools = [WorkerPool(client, num_workers=1) for _ in range(6)]
    try:
        futures = [pool.submit(os.getpid) for pool in pools for _ in range(5)]
        pids = [future.result(40) for future in futures]
        assert len(set(pids)) == 6
        assert all(len(set(pids[n : n + 5])) == 1 for n in range(0, 30, 5))
    finally:
        for pool in pools:
            pool.shutdown(wait=False)
        for pool in pools:
            pool.shutdown()


def test_a_pool_that_was_dropped_finishes_its_tasks_and_is_gone(client: IrisClient, watched: Watched) -> None:
    pool = WorkerPool(client, num_workers=1)
    watched.add(pool)
    futures = [pool.submit(abs, -n) for n in range(20)]
    del pool
    assert watched.alive == []
    assert [future.result(30) for future in futures] == list(range(20))
