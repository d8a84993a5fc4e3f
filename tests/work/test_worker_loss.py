"""What becomes of tasks whose worker dies, and of pools whose workers do not start. All kills are real."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iris_actor.actor.actor_loop import ActorLoop
from iris_actor.errors import BrokenWorkerPool, RemoteTraceback, WorkerLostError
from iris_actor.retry import Backoff
from iris_actor.rpc.io_thread import io_thread
from iris_actor.work.client import IrisClient
from iris_actor.work.pool.config import WorkerPoolConfig
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from iris_actor.work.pool.monitor.pool_status import WorkerState
from tests.support.tasks import pid_after
from tests.support.waiting import until

QUICK = Backoff(first=0.01, most=0.05)


def note(path: Path, text: str) -> None:
    """Appends a line at once, so that it survives the process."""
    with path.open("a") as file:
        file.write(f"{text}\n")


def first_time(path: Path) -> bool:
    """Whether this is the first process to ask."""
    try:
        path.open("x").close()
    except FileExistsError:
        return False
    return True


def kill_once(flag: Path, number: int) -> str:
    if first_time(flag):
        os.kill(os.getpid(), number)
        time.sleep(60)
    return "survived"


def suicide(code: int) -> None:
    print("about to end it", file=sys.stderr, flush=True)
    os._exit(code)


@pytest.fixture
def pool(client: IrisClient):
    with WorkerPool(client, WorkerPoolConfig(num_workers=2, restart_backoff=QUICK)) as pool:
        pool.wait_for_workers(timeout=30)
        yield pool


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_killed_in_mid_task_is_replaced_and_the_task_retried(
    pool: WorkerPool, tmp_path: Path, number: int
) -> None:
    before = {info.pid for info in pool.status().worker_infos}
    assert pool.submit(kill_once, tmp_path / "flag", number).result(30) == "survived"
    pool.wait_for_workers(timeout=30)
    infos = pool.status().worker_infos
    assert {info.name for info in infos} == {"worker-0", "worker-1"}, "a replacement keeps the name"
    assert len(before & {info.pid for info in infos}) == 1
    assert sorted(info.restarts for info in infos) == [0, 1]


def test_a_worker_killed_from_outside_while_it_works_is_replaced(pool: WorkerPool, tmp_path: Path) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    os.mkfifo(gate)

    def task() -> str:
        note(log, str(os.getpid()))
        if len(log.read_text().split()) > 1:
            return "second time"
        return gate.read_text()

    future = pool.submit(task)
    pid = until(lambda: log.exists() and log.read_text())
    os.kill(int(pid), signal.SIGKILL)
    assert future.result(30) == "second time"


def end_thread_once(flag: Path, which: str) -> str:
    """Ends a thread without which the worker hears, or says, nothing; as a lack of memory may."""
    if first_time(flag):
        if which == "I/O":
            io_thread().stop(0.2)
        else:
            (loop,) = [each for each in gc.get_objects() if isinstance(each, ActorLoop)]
            loop.close()
    return "done"


@pytest.mark.parametrize("which", ["I/O", "methods"])
def test_a_worker_that_lost_a_thread_of_its_own_does_not_keep_its_task(
    pool: WorkerPool, tmp_path: Path, which: str
) -> None:
    assert pool.submit(end_thread_once, tmp_path / "flag", which).result(30) == "done"
    pool.wait_for_workers(timeout=30)
    assert sorted(info.restarts for info in pool.status().worker_infos) == [0, 1]


def test_an_idle_worker_that_dies_is_replaced(pool: WorkerPool) -> None:
    victim = pool.status().worker_infos[0]
    os.kill(victim.pid, signal.SIGKILL)
    until(lambda: pool.status().worker_infos[0].restarts)
    pool.wait_for_workers(timeout=30)
    assert pool.status().worker_infos[0].pid not in {0, victim.pid}
    assert pool.submit(abs, -1).result(20) == 1


def test_a_task_that_keeps_killing_workers_ends_with_the_exit_code_and_harms_no_other(
    pool: WorkerPool,
) -> None:
    killer = pool.submit(suicide, 3)
    innocent = [pool.submit(abs, -n) for n in range(300)]
    error = killer.exception(40)
    assert isinstance(error, WorkerLostError)
    assert (error.exit_code, error.signal, error.attempts) == (3, None, 4)
    assert "about to end it" in error.stderr
    assert "exited with code 3" in str(error)
    assert [future.result(30) for future in innocent] == list(range(300))
    assert pool.submit(abs, -5).result(30) == 5
    assert pool.status().tasks.failed == 1


def test_a_killer_among_tiny_tasks_is_found_and_each_of_them_ends_well(pool: WorkerPool) -> None:
    for future in [pool.submit(abs, n) for n in range(300)]:
        future.result(30)  # now several travel together
    futures = [pool.submit(suicide, 9) if n == 400 else pool.submit(abs, -n) for n in range(800)]
    killer = futures.pop(400)
    assert isinstance(killer.exception(40), WorkerLostError)
    assert {type(future.exception(30)) for future in futures} == {type(None)}


def test_a_signal_is_named_and_retries_can_be_forbidden(client: IrisClient, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def task() -> None:
        note(log, "run")
        os.kill(os.getpid(), signal.SIGABRT)

    config = WorkerPoolConfig(num_workers=1, max_retries=0, restart_backoff=QUICK)
    with WorkerPool(client, config) as pool:
        future = pool.submit(task)
        others = [pool.submit(note, tmp_path / f"other-{n}", "run") for n in range(50)]
        error = future.exception(30)
        assert isinstance(error, WorkerLostError)
        assert (error.exit_code, error.signal, error.attempts) == (None, "SIGABRT", 1)
        for other in others:
            assert other.exception(30) is None
    assert log.read_text() == "run\n"
    counts = Counter((tmp_path / f"other-{n}").read_text() for n in range(50))
    assert counts == {"run\n": 50}, "nothing started twice"


def test_two_killers_do_not_break_the_pool(pool: WorkerPool) -> None:
    killers = [pool.submit(suicide, code) for code in (4, 5)]
    errors = [killer.exception(50) for killer in killers]
    assert [error.exit_code for error in errors if isinstance(error, WorkerLostError)] == [4, 5]
    assert pool.status().broken is None
    assert pool.submit(abs, -3).result(30) == 3


def test_a_function_that_kills_the_worker_while_it_is_unpickled_is_blamed(pool: WorkerPool) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os._exit, (6,)

    bomb = Bomb()
    error = pool.submit(lambda: bomb).exception(40)
    assert isinstance(error, WorkerLostError)
    assert error.exit_code == 6
    assert pool.submit(abs, -3).result(30) == 3


def set_up_badly(path: str) -> None:
    raise FileNotFoundError(f"no weights in {path}")


def test_an_initializer_that_raises_breaks_the_pool_with_its_traceback(client: IrisClient) -> None:
    started = time.monotonic()
    pool = WorkerPool(client, num_workers=2, initializer=set_up_badly, initargs=("/models",))
    futures = [pool.submit(abs, n) for n in range(5)]
    for future in futures:
        error = future.exception(20)
        assert isinstance(error, BrokenWorkerPool)
        assert "no weights in /models" in error.reason
        assert "in set_up_badly" in error.reason
        assert isinstance(error.__cause__, FileNotFoundError)
        assert isinstance(error.__cause__.__cause__, RemoteTraceback)
    assert time.monotonic() - started < 15
    with pytest.raises(BrokenWorkerPool, match="no weights"):
        pool.submit(abs, 1)
    with pytest.raises(BrokenWorkerPool, match="no weights"):
        pool.wait_for_workers()
    assert "no weights" in (pool.status().broken or "")
    pool.shutdown()
    assert pool.status().worker_infos == ()


def test_an_initializer_that_kills_its_worker_breaks_the_pool_after_some_tries(client: IrisClient) -> None:
    config = WorkerPoolConfig(
        num_workers=1, initializer=suicide, initargs=(8,), max_restarts=2, restart_backoff=QUICK
    )
    with WorkerPool(client, config) as pool:
        error = pool.submit(abs, 1).exception(40)
        assert isinstance(error, BrokenWorkerPool)
        assert "3 times in a row" in error.reason
        assert "exited with code 8 while it ran the initializer" in error.reason
        assert "about to end it" in error.reason


def test_workers_that_do_not_start_break_the_pool_with_their_last_words(client: IrisClient) -> None:
    config = WorkerPoolConfig(
        num_workers=2, max_restarts=1, restart_backoff=QUICK, env={"PYTHONHOME": "/nowhere"}
    )
    with WorkerPool(client, config) as pool:
        futures = [pool.submit(abs, n) for n in range(3)]
        for future in futures:
            error = future.exception(40)
            assert isinstance(error, BrokenWorkerPool)
            assert "before it was ready" in error.reason
            assert "No module named 'encodings'" in error.reason
        assert {info.state for info in pool.status().worker_infos} <= {WorkerState.FAILED, WorkerState.ENDING}


def test_a_worker_that_never_announces_itself_is_given_up(client: IrisClient, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import signal; signal.pause()")
    config = WorkerPoolConfig(
        num_workers=1,
        max_restarts=0,
        start_timeout=0.5,
        env={"PYTHONPATH": str(tmp_path)},
    )
    with WorkerPool(client, config) as pool:
        error = pool.submit(abs, 1).exception(30)
        assert isinstance(error, BrokenWorkerPool)
        assert "did not announce itself within 0.5 s" in error.reason


def test_what_a_dead_worker_started_is_killed_too(
    pool: WorkerPool, all_gone: Callable[[list[int], float], list[int]], tmp_path: Path
) -> None:
    log = tmp_path / "pid"

    def task() -> str:
        if log.exists():
            return "again"
        note(log, str(subprocess.Popen(["sleep", "600"]).pid))
        os._exit(1)

    assert pool.submit(task).result(30) == "again"
    assert all_gone([int(log.read_text())], 2) == []


def test_killing_a_pool_ends_tasks_and_workers_at_once(
    client: IrisClient, all_gone: Callable[[list[int], float], list[int]]
) -> None:
    pool = WorkerPool(client, num_workers=2)
    pool.wait_for_workers(timeout=30)
    pids = [info.pid for info in pool.status().worker_infos]
    futures = [pool.submit(time.sleep, 600) for _ in range(4)]
    pool.kill()
    assert {type(future.exception(20)) for future in futures} <= {BrokenWorkerPool}
    pool.shutdown()
    assert all_gone(pids, 0) == []


def test_a_task_is_unwound_when_the_pool_ends_its_worker(client: IrisClient, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def task() -> None:
        try:
            note(log, "began")
            time.sleep(600)
        finally:
            note(log, "cleaned up")

    with WorkerPool(client, num_workers=1) as pool:
        pool.submit(task)
        until(lambda: log.exists() and "began" in log.read_text())
        os.kill(pool.status().worker_infos[0].pid, signal.SIGTERM)
        until(lambda: "cleaned up" in log.read_text())
        pool.kill()
    assert log.read_text().startswith("began\ncleaned up")


def test_a_task_is_unwound_though_its_wait_did_not_hear_the_signal(
    client: IrisClient, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    def task() -> None:
        def end_this_process() -> None:
            time.sleep(0.3)
            # To this thread, as the system might: the main thread goes on waiting.
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            time.sleep(600)

        threading.Thread(target=end_this_process, daemon=True).start()
        try:
            time.sleep(600)
        finally:
            note(log, "cleaned up")

    with WorkerPool(client, num_workers=1, max_retries=0) as pool:
        assert isinstance(pool.submit(task).exception(30), WorkerLostError)
        assert log.read_text() == "cleaned up\n"


def test_signals_to_children_of_a_task_are_not_taken_for_the_workers(
    client: IrisClient, tmp_path: Path
) -> None:
    def task() -> tuple[int, int]:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
            (tmp_path / "there").touch()
            while True:
                time.sleep(0.01)
        until((tmp_path / "there").exists)
        os.kill(child, signal.SIGTERM)
        return os.getpid(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    with WorkerPool(client, num_workers=1, max_retries=0) as pool:
        worker, code = pool.submit(task).result(30)
        assert code == 7
        assert pool.submit(pid_after, 0.3).result(30) == worker
