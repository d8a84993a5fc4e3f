"""Tasks that do what tasks should not do: each ends with the right error, and the pool works as before."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import psutil
import pytest

from iris_actor.errors import RemoteError, SerializationError, WorkerLostError
from iris_actor.retry import Backoff
from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from tests.support.waiting import until

QUICK = Backoff(first=0.01, most=0.05)
MB = 1_000_000


@pytest.fixture
def pool(client: IrisClient) -> Iterator[WorkerPool]:
    """Two workers of the test's own. After the test both must work, and have lost no process to no task."""
    with WorkerPool(client, num_workers=2, max_retries=1, restart_backoff=QUICK) as pool:
        pool.wait_for_workers(timeout=30)
        yield pool
        pool.wait_for_workers(timeout=30)
        assert [pool.submit(abs, -n).result(30) for n in range(10)] == list(range(10))
        status = pool.status()
        assert status.broken is None
        assert status.workers.failed == 0
        assert status.tasks.queued == status.tasks.running == 0


def pids(pool: WorkerPool) -> set[int]:
    return {info.pid for info in pool.status().worker_infos}


def lost(pool: WorkerPool, task: Callable[..., Any], *arguments: Any) -> WorkerLostError:
    """The error of a task that costs workers their lives."""
    error = pool.submit(task, *arguments).exception(50)
    assert isinstance(error, WorkerLostError), error
    assert error.attempts == 2
    return error


def survived(pool: WorkerPool, task: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a task that its worker survives, with more tasks on both workers after it."""
    before = pids(pool)
    result = pool.submit(task, *arguments).result(40)
    assert [pool.submit(abs, -n).result(30) for n in range(10)] == list(range(10))
    assert pids(pool) == before
    return result


def refused(pool: WorkerPool, task: Callable[..., Any], *arguments: Any) -> BaseException:
    """The error of a task that its worker survives."""
    before = pids(pool)
    error = pool.submit(task, *arguments).exception(40)
    assert error is not None
    assert [pool.submit(abs, -n).result(30) for n in range(10)] == list(range(10))
    assert pids(pool) == before
    return error


# --- ends of the process ------------------------------------------------------------------------------


def segfault() -> None:
    ctypes.string_at(0)


def test_a_task_that_exits_the_process(pool: WorkerPool) -> None:
    error = lost(pool, os._exit, 3)
    assert (error.exit_code, error.signal) == (3, None)


def test_a_task_that_exits_the_process_with_success(pool: WorkerPool) -> None:
    error = lost(pool, os._exit, 0)
    assert (error.exit_code, error.signal) == (0, None)


def test_a_task_that_segfaults(pool: WorkerPool) -> None:
    error = lost(pool, segfault)
    assert (error.exit_code, error.signal) == (None, "SIGSEGV")
    assert re.search(r"line \d+ in segfault", error.stderr), "faulthandler shows where"


def test_a_task_that_aborts(pool: WorkerPool) -> None:
    error = lost(pool, os.abort)
    assert (error.exit_code, error.signal) == (None, "SIGABRT")


# --- exceptions -----------------------------------------------------------------------------------------


class WithoutWordsError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("I cannot say what I am")


class UnpicklableError(Exception):
    def __reduce__(self) -> NoReturn:
        raise RuntimeError("I do not pickle")


class UnbuildableError(Exception):
    def __reduce__(self) -> Any:
        return fail_to_build, ()


def fail_to_build() -> NoReturn:
    raise RuntimeError("I cannot be built")


def raise_it(kind: type[BaseException], *arguments: Any) -> NoReturn:
    raise kind(*arguments)


def recurse(depth: int = 0) -> int:
    return recurse(depth + 1) + 1


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration])
def test_a_task_that_raises_what_is_meant_for_interpreters(
    pool: WorkerPool, kind: type[BaseException]
) -> None:
    error = refused(pool, raise_it, kind, "for you")
    assert type(error) is kind
    assert error.args == ("for you",)


def test_a_task_that_asks_to_exit(pool: WorkerPool) -> None:
    error = refused(pool, sys.exit, 5)
    assert isinstance(error, SystemExit)
    assert error.code == 5


def test_an_exception_without_words(pool: WorkerPool) -> None:
    error = refused(pool, raise_it, WithoutWordsError)
    assert isinstance(error, WithoutWordsError | RemoteError)
    assert "WithoutWordsError" in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("kind", [UnpicklableError, UnbuildableError])
def test_an_exception_that_cannot_travel(pool: WorkerPool, kind: type[Exception]) -> None:
    error = refused(pool, raise_it, kind, "the point")
    assert isinstance(error, RemoteError)
    assert kind.__name__ in str(error)
    assert "the point" in str(error)


def test_a_task_that_recurses_for_ever(pool: WorkerPool) -> None:
    error = refused(pool, recurse)
    assert isinstance(error, RecursionError)


# --- arguments and results ------------------------------------------------------------------------------


class StaysHere:
    """Pickles, but cannot be built in another process."""

    def __init__(self) -> None:
        self.pid = os.getpid()

    def __reduce__(self) -> Any:
        return build_in, (self.pid,)


def build_in(pid: int) -> StaysHere:
    if os.getpid() != pid:
        raise RuntimeError("not in this process")
    return StaysHere()


def lock() -> Any:
    return threading.Lock()


def generator() -> Any:
    return (n for n in range(3))


@pytest.mark.parametrize("task", [lock, generator])
def test_a_result_that_does_not_pickle(pool: WorkerPool, task: Callable[[], Any]) -> None:
    error = refused(pool, task)
    assert isinstance(error, SerializationError)
    assert ("result does not pickle" if task is lock else "returned a generator") in str(error)


def test_a_result_that_cannot_be_rebuilt_by_the_driver(pool: WorkerPool) -> None:
    error = refused(pool, StaysHere)
    assert isinstance(error, SerializationError)
    assert "not in this process" in str(error)


def test_an_argument_that_cannot_be_rebuilt_by_the_worker(pool: WorkerPool) -> None:
    error = refused(pool, str, StaysHere())
    assert isinstance(error, SerializationError)
    assert "not in this process" in str(error)


# --- children -------------------------------------------------------------------------------------------


def fork_and_wait(code: int) -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run_process(method: str) -> int:
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=sys.exit, args=(6,))
    process.start()
    process.join(20)
    return int(process.exitcode)


def square(n: int) -> int:
    return n * n


def run_pool(method: str) -> list[int]:
    with multiprocessing.get_context(method).Pool(2) as inner:
        return inner.map(square, range(10))


def leave_a_child() -> int:
    return subprocess.Popen(["sleep", "600"], start_new_session=True).pid


def leave_a_forked_child() -> int:
    pid = os.fork()
    if pid == 0:
        signal.pause()
    return pid


def raise_in_child() -> str:
    pid = os.fork()
    if pid == 0:
        raise RuntimeError("in the child only")
    os.waitpid(pid, 0)
    return "in the parent"


def test_a_task_that_forks(pool: WorkerPool) -> None:
    assert survived(pool, fork_and_wait, 7) == 7


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_task_that_uses_multiprocessing(pool: WorkerPool, method: str) -> None:
    assert survived(pool, run_process, method) == 6
    assert survived(pool, run_pool, method) == [n * n for n in range(10)]


def test_a_child_that_outlives_its_task_runs_on_and_ends_with_the_launcher_at_the_latest(
    pool: WorkerPool,
) -> None:
    for task in (leave_a_child, leave_a_forked_child):
        child = psutil.Process(survived(pool, task))
        assert child.is_running()
        child.kill()


# --- threads ----------------------------------------------------------------------------------------------


def leave_a_thread(path: str, daemon: bool) -> None:
    def run() -> None:
        while not Path(path).exists():
            print("still here", flush=True)
            time.sleep(0.01)

    threading.Thread(target=run, daemon=daemon).start()


@pytest.mark.parametrize("daemon", [True, False])
def test_a_task_that_leaves_a_thread_that_prints(
    pool: WorkerPool, tmp_path: Path, daemon: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    survived(pool, leave_a_thread, str(tmp_path / "stop"), daemon)
    until(lambda: "still here" in capfd.readouterr().out)
    (tmp_path / "stop").touch()


def test_a_pool_ends_although_a_task_left_a_thread_that_never_does(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=1, shutdown_grace=0.5) as pool:
        pool.submit(leave_a_thread, "/no/such/file", False).result(30)
        (pid,) = pids(pool)
    assert not psutil.pid_exists(pid)


# --- the process around the task --------------------------------------------------------------------------


def go_elsewhere(path: str) -> None:
    os.chdir(path)
    sys.path.insert(0, path)


def where() -> tuple[str, list[str]]:
    return str(Path.cwd()), list(sys.path)


def both(pool: WorkerPool, task: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Results of enough tasks to meet both workers."""
    results = [pool.submit(task, *arguments) for _ in range(20)]
    return [future.result(30) for future in results]


def test_a_task_that_changes_the_working_directory_and_the_path_of_modules(
    pool: WorkerPool, tmp_path: Path
) -> None:
    before = both(pool, where)
    survived(pool, go_elsewhere, str(tmp_path))
    assert both(pool, where) == before
    assert before[0][0] == str(Path.cwd())


def test_an_initializer_that_changes_them_does_so_for_all_tasks(client: IrisClient, tmp_path: Path) -> None:
    path = str(tmp_path)
    with WorkerPool(client, num_workers=2, initializer=go_elsewhere, initargs=(path,)) as pool:
        both(pool, go_elsewhere, "/")
        for directory, modules in both(pool, where):
            assert directory == path
            assert modules[0] == path


def remove(path: str) -> None:
    os.chdir(path)
    Path(path).rmdir()


def test_a_task_that_removes_the_working_directory(pool: WorkerPool, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    survived(pool, remove, str(tmp_path / "gone"))
    assert {directory for directory, _ in both(pool, where)} == {str(Path.cwd())}


def close_streams() -> None:
    for fd in range(3):
        os.close(fd)


def close_stdout() -> None:
    sys.stdout.close()


@pytest.mark.parametrize("task", [close_streams, close_stdout])
def test_a_task_that_closes_the_standard_streams(pool: WorkerPool, task: Callable[[], None]) -> None:
    survived(pool, task)
    assert both(pool, abs, -1) == [1] * 20


def change_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def block_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))


@pytest.mark.parametrize("task", [change_signals, block_signals])
def test_a_task_that_turns_signals_off(client: IrisClient, task: Callable[[], None]) -> None:
    with WorkerPool(client, num_workers=1, shutdown_grace=0.5) as pool:
        pool.wait_for_workers(timeout=30)
        survived(pool, task)
        (pid,) = pids(pool)
    assert not psutil.pid_exists(pid), "its worker was ended all the same"


# --- much -------------------------------------------------------------------------------------------------


def filled(n: int) -> np.ndarray:
    return np.full(MB // 8, n, np.int64)


def test_a_thousand_results_of_a_megabyte(pool: WorkerPool) -> None:
    for n, result in enumerate(pool.map(filled, range(1000))):
        assert result.nbytes == MB
        assert (result == n).all()


def total(array: np.ndarray) -> int:
    return int(array.sum())


def test_a_thousand_arguments_of_a_megabyte(pool: WorkerPool) -> None:
    futures = [pool.submit(total, filled(n)) for n in range(1000)]
    assert [future.result(50) for future in futures] == [n * (MB // 8) for n in range(1000)]


def test_a_hundred_thousand_tiny_tasks(pool: WorkerPool) -> None:
    futures = [pool.submit(square, n) for n in range(100_000)]
    assert [future.result(50) for future in futures] == [n * n for n in range(100_000)]


@pytest.mark.soak
def test_a_result_and_an_argument_of_a_gigabyte(pool: WorkerPool) -> None:
    result = pool.submit(np.full, 1000 * MB // 8, 7).result(100)
    assert result.nbytes == 1000 * MB
    assert (result == 7).all()
    assert pool.submit(total, result).result(100) == 7 * len(result)
