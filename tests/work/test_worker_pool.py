"""WorkerPool as an Executor: what the standard library promises of one."""

from __future__ import annotations

import asyncio
import functools
import gc
import multiprocessing
import operator
import os
import pickle
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import (
    ALL_COMPLETED,
    CancelledError,
    Executor,
    Future,
    wait,
)
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iris_actor.errors import RemoteTraceback, SerializationError
from iris_actor.work.client import IrisClient
from iris_actor.work.pool.config import WorkerPoolConfig
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from iris_actor.work.pool.monitor.pool_status import WorkerState
from tests.support.waiting import until


def wait_for_file(path: str) -> str:
    """Blocks until a test lets it go on, by a named pipe."""
    return Path(path).read_text()


def boom(text: str) -> None:
    raise KeyError(text)


class Unpicklable:
    def __reduce__(self) -> Any:
        raise RuntimeError("not for pickling")


class PicklesOneWay:
    def __reduce__(self) -> Any:
        return refuse, ()


def refuse() -> None:
    raise RuntimeError("not for rebuilding")


@pytest.fixture
def gate(tmp_path: Path):
    """A named pipe: tasks that read it wait until the test opens it."""
    path = tmp_path / "gate"
    os.mkfifo(path)

    class Gate:
        name = str(path)

        def open(self) -> None:
            with path.open("w") as pipe:
                pipe.write("open")

    return Gate()


def test_a_pool_is_an_executor_and_gives_real_futures(shared_pool: WorkerPool) -> None:
    future = shared_pool.submit(operator.add, 2, 3)
    assert isinstance(shared_pool, Executor)
    assert isinstance(future, Future)
    assert future.result(timeout=20) == 5
    assert future.done()
    assert future.exception() is None


def test_arguments_by_position_and_keyword_arrive(shared_pool: WorkerPool) -> None:
    assert shared_pool.submit(sorted, [3, 1, 2], reverse=True).result(20) == [3, 2, 1]
    assert shared_pool.submit(dict, fn=1, self=2).result(20) == {"fn": 1, "self": 2}
    assert shared_pool.submit(functools.partial(int, base=2), "101").result(20) == 5


def test_methods_classes_and_callable_objects_are_callables_too(shared_pool: WorkerPool) -> None:
    words = ["b", "a"]
    assert shared_pool.submit(words.index, "a").result(20) == 1
    words.append("c")
    assert shared_pool.submit(words.index, "c").result(20) == 2
    assert shared_pool.submit(complex, 1, 2).result(20) == 1 + 2j
    assert shared_pool.submit(operator.itemgetter(1), [5, 6]).result(20) == 6


def test_an_exception_arrives_as_itself_with_the_remote_traceback(shared_pool: WorkerPool) -> None:
    future = shared_pool.submit(boom, "lost")
    with pytest.raises(KeyError, match="lost") as caught:
        future.result(20)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "in boom" in caught.value.__cause__.text
    assert "_run_one" not in caught.value.__cause__.text


@pytest.mark.parametrize("error", [ConnectionError("mine"), SystemExit(3), RuntimeError("x")])
def test_what_a_task_raises_is_never_a_reason_to_retry(
    shared_pool: WorkerPool, tmp_path: Path, error: BaseException
) -> None:
    log = tmp_path / "runs"

    def fail() -> None:
        with log.open("a") as file:
            file.write("run\n")
        raise error

    future = shared_pool.submit(fail)
    assert type(future.exception(20)) is type(error)
    assert log.read_text() == "run\n"


def test_an_argument_that_does_not_pickle_fails_its_future_alone(shared_pool: WorkerPool) -> None:
    bad = shared_pool.submit(print, Unpicklable())
    good = shared_pool.submit(abs, -1)
    with pytest.raises(SerializationError, match="not for pickling"):
        bad.result(20)
    assert good.result(20) == 1


def test_a_function_that_does_not_pickle_fails_its_future_alone(shared_pool: WorkerPool) -> None:
    lock = threading.Lock()
    with pytest.raises(SerializationError, match="lock"):
        shared_pool.submit(lambda: lock).result(20)
    assert shared_pool.submit(abs, -1).result(20) == 1


def test_a_result_that_does_not_pickle_is_an_error_and_the_worker_serves_on(shared_pool: WorkerPool) -> None:
    before = {info.pid for info in shared_pool.status().worker_infos}
    with pytest.raises(SerializationError, match="result does not pickle"):
        shared_pool.submit(threading.Lock).result(20)
    assert shared_pool.submit(abs, -1).result(20) == 1
    assert {info.pid for info in shared_pool.status().worker_infos} == before


def test_what_cannot_be_rebuilt_is_an_error_on_the_side_where_it_arrives(shared_pool: WorkerPool) -> None:
    with pytest.raises(SerializationError, match="not for rebuilding"):
        shared_pool.submit(len, PicklesOneWay()).result(20)
    with pytest.raises(SerializationError, match="not for rebuilding"):
        shared_pool.submit(PicklesOneWay).result(20)
    assert shared_pool.submit(abs, -1).result(20) == 1


def test_tasks_run_in_the_main_thread_of_another_process(shared_pool: WorkerPool) -> None:
    def where() -> tuple[int, bool]:
        return os.getpid(), threading.current_thread() is threading.main_thread()

    pid, in_main = shared_pool.submit(where).result(20)
    assert in_main
    assert pid in {info.pid for info in shared_pool.status().worker_infos}
    assert pid != os.getpid()


def test_a_task_may_run_asyncio(shared_pool: WorkerPool) -> None:
    async def nap() -> str:
        await asyncio.sleep(0)
        return "woke"

    assert shared_pool.submit(lambda: asyncio.run(nap())).result(20) == "woke"


async def test_futures_can_be_awaited(shared_pool: WorkerPool) -> None:
    loop = asyncio.get_running_loop()
    assert await asyncio.wrap_future(shared_pool.submit(abs, -4)) == 4
    assert await loop.run_in_executor(shared_pool, abs, -5) == 5


def test_a_task_may_fork(shared_pool: WorkerPool) -> None:
    def forks() -> list[int]:
        with multiprocessing.get_context("fork").Pool(2) as inner:
            return inner.map(abs, range(-10, 0))

    futures = [shared_pool.submit(forks) for _ in range(40)]
    assert {tuple(future.result(40)) for future in futures} == {tuple(range(10, 0, -1))}


def test_callbacks_run_and_may_submit(shared_pool: WorkerPool) -> None:
    second: Future[Future[int]] = Future()
    first = shared_pool.submit(abs, -1)
    first.add_done_callback(lambda f: second.set_result(shared_pool.submit(operator.add, f.result(), 1)))
    assert second.result(20).result(20) == 2


def test_wait_knows_the_futures(shared_pool: WorkerPool) -> None:
    futures = [shared_pool.submit(abs, n) for n in range(50)]
    done, pending = wait(futures, timeout=20, return_when=ALL_COMPLETED)
    assert len(done) == 50
    assert not pending


def test_tasks_do_not_share_arguments_that_travelled_together(shared_pool: WorkerPool) -> None:
    shared: list[int] = []

    def grow(items: list[int]) -> int:
        items.append(1)
        return len(items)

    futures = [shared_pool.submit(grow, shared) for _ in range(500)]
    assert {future.result(20) for future in futures} == {1}
    assert shared == []


def test_large_arrays_go_both_ways_unharmed(shared_pool: WorkerPool) -> None:
    array = np.arange(3_000_000, dtype=np.float64)

    def doubled(x: Any) -> Any:
        x *= 2
        return x

    results = [shared_pool.submit(doubled, array) for _ in range(6)]
    for result in results:
        np.testing.assert_array_equal(result.result(30), array * 2)
    assert array[1] == 1


def test_a_result_is_what_it_was_when_the_task_ended(shared_pool: WorkerPool) -> None:
    def reuse(value: int) -> Any:
        import builtins

        buffer = builtins.__dict__.setdefault("_test_buffer", np.zeros(100_000))
        buffer[:] = value
        return buffer

    for value, future in [(n, shared_pool.submit(reuse, n)) for n in range(40)]:
        assert set(np.unique(future.result(30))) == {value}


def test_nothing_keeps_arguments_and_results_alive(shared_pool: WorkerPool) -> None:
    class Data:
        def __init__(self, n: int) -> None:
            self.n = n

    argument = Data(1)
    future = shared_pool.submit(lambda data: data, argument)
    references = [weakref.ref(argument), weakref.ref(future.result(20)), weakref.ref(future)]
    ran = threading.Event()
    shared_pool.submit(abs, 1).add_done_callback(lambda _: ran.set())  # behind it in the callbacks' thread
    assert ran.wait(20)
    shared_pool.submit(abs, 1).result(20)
    del argument, future
    gc.collect()
    assert [reference() for reference in references] == [None, None, None]


def test_a_done_callback_that_takes_long_does_not_keep_tasks_from_idle_workers(
    client: IrisClient, tmp_path: Path
) -> None:
    entered, release = threading.Event(), threading.Event()
    with WorkerPool(client, num_workers=2) as pool:
        pool.submit(abs, -1).add_done_callback(lambda _: (entered.set(), release.wait(30)))
        assert entered.wait(20)
        touched = pool.submit((tmp_path / "touched").touch)
        until((tmp_path / "touched").exists)
        assert not touched.done()
        release.set()
        touched.result(20)


def test_queued_tasks_can_be_cancelled_and_running_ones_cannot(client: IrisClient, gate: Any) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        running = pool.submit(wait_for_file, gate.name)
        queued = [pool.submit(abs, n) for n in range(5)]
        pool.wait_for_workers(timeout=30)
        until(running.running)
        assert not running.cancel()
        assert queued[1].cancel()
        assert queued[3].cancel()
        assert pool.status().tasks.queued == 3
        gate.open()
        assert running.result(20) == "open"
        with pytest.raises(CancelledError):
            queued[1].result(20)
        assert [queued[n].result(20) for n in (0, 2, 4)] == [0, 2, 4]


def test_status_counts_workers_and_tasks(client: IrisClient, gate: Any) -> None:
    with WorkerPool(client, num_workers=2, name="counted") as pool:
        pool.wait_for_workers(timeout=30)
        status = pool.status()
        assert status.name == "counted"
        assert (status.workers.idle, status.workers.busy, status.workers.failed) == (2, 0, 0)
        assert {info.name for info in status.worker_infos} == {"worker-0", "worker-1"}
        blocked = pool.submit(wait_for_file, gate.name)
        failed = pool.submit(boom, "x")
        assert isinstance(failed.exception(20), KeyError)
        status = pool.status()
        assert (status.workers.idle, status.workers.busy) == (1, 1)
        assert (status.tasks.running, status.tasks.queued, status.tasks.failed) == (1, 0, 1)
        busy = [info for info in status.worker_infos if info.state is WorkerState.BUSY]
        assert [info.tasks for info in busy] == [1]
        gate.open()
        blocked.result(20)
        assert pool.status().tasks.done == 1
    assert pool.status().worker_infos == ()


def test_submit_after_shutdown_is_refused(client: IrisClient) -> None:
    pool = WorkerPool(client, num_workers=1)
    assert pool.submit(abs, -1).result(30) == 1
    pool.shutdown()
    pool.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(abs, 1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.map(abs, [1])
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.resize(3)


def test_shutdown_finishes_what_was_submitted(client: IrisClient) -> None:
    pool = WorkerPool(client, num_workers=2)
    futures = [pool.submit(abs, -n) for n in range(100)]
    pool.shutdown(wait=False)
    assert [future.result(30) for future in futures] == list(range(100))
    pool.shutdown(wait=True)
    assert pool.status().worker_infos == ()


def test_shutdown_can_cancel_what_has_not_started(client: IrisClient, gate: Any) -> None:
    pool = WorkerPool(client, num_workers=1)
    pool.wait_for_workers(timeout=30)
    running = pool.submit(wait_for_file, gate.name)
    queued = [pool.submit(abs, n) for n in range(10)]
    until(running.running)
    pool.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in queued)
    gate.open()
    assert running.result(20) == "open"
    pool.shutdown()
    assert pool.status().tasks.done == 1


def test_a_pool_that_is_dropped_ends_its_workers(
    client: IrisClient, all_gone: Callable[[list[int], float], list[int]]
) -> None:
    pool = WorkerPool(client, num_workers=1)
    pool.wait_for_workers(timeout=30)
    pids = [info.pid for info in pool.status().worker_infos]
    future = pool.submit(abs, -1)
    del pool
    gc.collect()
    assert future.result(20) == 1
    assert all_gone(pids, 10) == []


def test_bad_arguments_are_refused_as_by_the_stdlib(shared_pool: WorkerPool) -> None:
    with pytest.raises(TypeError, match="callable"):
        shared_pool.submit(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="chunksize must be 1 or more"):
        shared_pool.map(abs, [1], chunksize=0)
    with pytest.raises(ValueError, match="num_workers must be a whole number, 1 or more, got 0"):
        WorkerPool(num_workers=0)
    with pytest.raises(TypeError, match="initializer must be a callable"):
        WorkerPool(num_workers=1, initializer=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="num_workers is a keyword"):
        WorkerPool(4)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="two names"):
        WorkerPool(num_workers=1, max_workers=1)
    with pytest.raises(SerializationError):
        WorkerPool(num_workers=1, initializer=threading.Lock().acquire)


def test_a_pool_itself_does_not_pickle_and_says_why(shared_pool: WorkerPool) -> None:
    with pytest.raises(TypeError, match="belongs to the process that made it"):
        pickle.dumps(shared_pool)


def test_keywords_win_over_the_configuration(client: IrisClient) -> None:
    config = WorkerPoolConfig(num_workers=5, name="by-config", env={"COLOUR": "red"})
    with WorkerPool(client, config, num_workers=1) as pool:
        assert pool.num_workers == 1
        assert pool.name == "by-config"
        assert pool.submit(os.getenv, "COLOUR").result(30) == "red"


def test_the_initializer_runs_once_in_each_worker_before_its_first_task(
    client: IrisClient, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    def set_up(value: int) -> None:
        sys.modules["iris_test_state"] = value  # type: ignore[assignment]
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")

    with WorkerPool(client, num_workers=2, initializer=set_up, initargs=(17,)) as pool:
        values = [pool.submit(lambda: sys.modules["iris_test_state"]) for _ in range(20)]
        assert {value.result(30) for value in values} == {17}
        pool.wait_for_workers(timeout=30)
        pids = {info.pid for info in pool.status().worker_infos}
    assert sorted(map(int, log.read_text().split())) == sorted(pids)


def test_resize_adds_and_removes_workers(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        pool.wait_for_workers(timeout=30)
        pool.resize(3)
        pool.wait_for_workers(3, timeout=30)
        assert {info.name for info in pool.status().worker_infos} == {"worker-0", "worker-1", "worker-2"}
        pool.resize(1)
        futures = [pool.submit(abs, -n) for n in range(50)]
        assert [future.result(20) for future in futures] == list(range(50))
        until(lambda: len(pool.status().worker_infos) == 1)
        assert pool.num_workers == 1
        assert pool.submit(abs, -7).result(20) == 7
        with pytest.raises(ValueError, match="num_workers"):
            pool.resize(0)
        with pytest.raises(ValueError, match="2 workers will never be ready"):
            pool.wait_for_workers(2)


def test_wait_for_workers_gives_up_in_time(client: IrisClient, gate: Any) -> None:
    with WorkerPool(client, num_workers=1, initializer=wait_for_file, initargs=(gate.name,)) as pool:
        with pytest.raises(TimeoutError, match="0 of 1 workers"):
            pool.wait_for_workers(timeout=0.05)
        gate.open()
        pool.wait_for_workers(timeout=30)
        assert pool.status().workers.idle == 1


def test_a_slow_task_does_not_hold_up_short_ones_behind_it(client: IrisClient, gate: Any) -> None:
    def maybe(path: str | None) -> str:
        return "quick" if path is None else wait_for_file(path)

    with WorkerPool(client, num_workers=2) as pool:
        for future in [pool.submit(maybe, None) for _ in range(200)]:
            future.result(30)  # the pool knows now that these are short
        futures = [pool.submit(maybe, gate.name if n == 7 else None) for n in range(400)]
        slow = futures.pop(7)
        done, late = wait(futures, timeout=20)
        assert not late
        assert {future.result() for future in done} == {"quick"}
        assert not slow.done()
        gate.open()
        assert slow.result(20) == "open"
