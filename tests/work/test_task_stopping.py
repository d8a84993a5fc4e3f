"""Tasks that are ended while a worker has them: by their timeout, or by a cancel. All kills are real."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, as_completed, wait
from pathlib import Path

import pytest

from iris_actor import call_context
from iris_actor.errors import DeadlineExceededError, WorkerLostError
from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from iris_actor.work.pool.monitor.pool_status import WorkerState
from tests.support.tasks import pid, pid_after
from tests.support.waiting import until


def until_told(started: Path) -> str:
    started.write_text(str(os.getpid()))
    while not call_context().cancelled:
        time.sleep(0.01)
    return "told"


def deaf(started: Path, ended: Path | None = None) -> None:
    """Never looks whether it was cancelled."""
    try:
        with started.open("a") as file:
            file.write(f"{os.getpid()}\n")
        threading.Event().wait()
    finally:
        if ended is not None:
            ended.write_text("cleaned up")


def written(path: Path) -> Callable[[], str]:
    """For `until`: what a task has written; it is created a moment before it is written to."""
    return lambda: path.read_text() if path.exists() else ""


def deaf_even_to_sigterm(started: Path) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    deaf(started)


@pytest.fixture
def pool(client: IrisClient) -> Iterator[WorkerPool]:
    with WorkerPool(client, num_workers=2, cancel_grace=0.3) as pool:
        pool.wait_for_workers(timeout=30)
        yield pool


def pids(pool: WorkerPool) -> set[int]:
    return {info.pid for info in pool.status().worker_infos}


def healthy(pool: WorkerPool) -> bool:
    pool.wait_for_workers(timeout=30)
    return list(pool.map(abs, range(-50, 0))) == list(range(50, 0, -1))


# --- timeouts -------------------------------------------------------------------------------------------


def test_a_task_over_its_timeout_frees_the_caller_and_its_worker_is_replaced(
    pool: WorkerPool, tmp_path: Path
) -> None:
    before = pids(pool)
    future = pool.options(timeout=0.5).submit(deaf, tmp_path / "started", tmp_path / "ended")
    with pytest.raises(DeadlineExceededError, match=r"task deaf ran longer than .* 0\.5 s in worker-"):
        future.result(20)
    until((tmp_path / "ended").exists)  # SIGTERM unwound it
    victim = int((tmp_path / "started").read_text())
    until(lambda: victim not in pids(pool))
    assert healthy(pool)
    assert len(pids(pool) & before) == 1
    assert pool.status().broken is None


def test_a_task_that_ignores_even_sigterm_is_killed(pool: WorkerPool, tmp_path: Path) -> None:
    future = pool.options(timeout=0.5).submit(deaf_even_to_sigterm, tmp_path / "started")
    assert isinstance(future.exception(20), TimeoutError)
    victim = int((tmp_path / "started").read_text())
    until(lambda: victim not in pids(pool))
    assert healthy(pool)


def test_a_task_that_keeps_the_gil_is_ended_too(pool: WorkerPool, tmp_path: Path) -> None:
    def hog() -> None:
        import ctypes

        ctypes.PyDLL(None).sleep(60)  # PyDLL does not let go of the GIL

    future = pool.options(timeout=0.2).submit(hog)
    with pytest.raises(DeadlineExceededError):
        future.result(20)
    assert healthy(pool)


def test_a_task_that_looks_ends_by_itself_and_keeps_its_worker(client: IrisClient, tmp_path: Path) -> None:
    with WorkerPool(client, num_workers=2, cancel_grace=30) as pool:
        pool.wait_for_workers(timeout=30)
        before = pids(pool)
        future = pool.options(timeout=0.2).submit(until_told, tmp_path / "started")
        with pytest.raises(DeadlineExceededError):
            future.result(20)
        until(lambda: pool.status().workers.idle == 2)
        assert healthy(pool)
        assert pids(pool) == before


def test_the_time_counts_from_the_start_of_the_task_not_from_submission(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        futures = [pool.options(timeout=1.0).submit(pid_after, 0.3) for _ in range(6)]
        assert len({future.result(30) for future in futures}) == 1


def test_tasks_that_wait_with_a_stuck_worker_run_elsewhere_and_are_not_charged(
    pool: WorkerPool, tmp_path: Path
) -> None:
    for future in [pool.submit(pid) for _ in range(300)]:
        future.result(30)  # now several travel together
    limited = pool.options(timeout=0.5, max_retries=0)
    futures = [pool.submit(pid) for _ in range(200)]
    stuck = limited.submit(deaf, tmp_path / "started")
    futures += [pool.submit(pid) for _ in range(200)]
    assert isinstance(stuck.exception(20), DeadlineExceededError)
    assert all(isinstance(future.result(30), int) for future in futures)
    assert pool.status().tasks.failed == 1


def test_short_tasks_are_not_disturbed_by_a_timeout(pool: WorkerPool) -> None:
    before = pids(pool)
    limited = pool.options(timeout=5)
    assert list(limited.map(abs, range(-2000, 0))) == list(range(2000, 0, -1))
    assert pids(pool) == before


def test_a_chunk_of_a_map_has_the_time_of_its_items_together(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        assert len(list(pool.options(timeout=0.5).map(pid_after, [0.2] * 4, chunksize=4))) == 4


def test_the_configuration_sets_a_timeout_for_all_tasks_and_options_another(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=1, task_timeout=0.2, cancel_grace=0.1) as pool:
        assert isinstance(pool.submit(pid_after, 30).exception(20), DeadlineExceededError)
        assert pool.options(timeout=20).submit(pid_after, 0.4).result(30)


def test_a_timeout_is_never_a_reason_to_run_the_task_again(pool: WorkerPool, tmp_path: Path) -> None:
    future = pool.options(timeout=0.5).submit(deaf, tmp_path / "started")
    assert isinstance(future.exception(20), DeadlineExceededError)
    assert healthy(pool)
    assert len((tmp_path / "started").read_text().split()) == 1


def test_a_task_knows_its_deadline_and_who_called(pool: WorkerPool) -> None:
    def look() -> tuple[float, str, bool, int]:
        context = call_context()
        return context.time_remaining(), context.method, context.cancelled, context.caller.pid

    remaining, method, cancelled, caller = pool.options(timeout=60).submit(look).result(30)
    assert 50 < remaining <= 60
    assert method.endswith("look")
    assert not cancelled
    assert caller == os.getpid()


def test_bad_options_are_refused_by_value_and_rule(pool: WorkerPool) -> None:
    for value in (0, -1, float("nan"), "3", True):
        with pytest.raises(ValueError, match="timeout must be a positive number of seconds"):
            pool.options(timeout=value)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_retries must be a whole number, 0 or more, got -1"):
        pool.options(max_retries=-1)


def test_options_add_up_and_end_with_their_pool(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        both = pool.options(timeout=20).options(max_retries=0)
        assert both.submit(abs, -1).result(20) == 1
        error = both.submit(os._exit, 7).exception(20)
        assert isinstance(error, WorkerLostError)
        assert error.attempts == 1
    with pytest.raises(RuntimeError, match="after shutdown"):
        both.submit(abs, -1)


# --- cancel ---------------------------------------------------------------------------------------------


def test_cancelling_a_running_task_tells_it_and_leaves_its_outcome_to_it(
    pool: WorkerPool, tmp_path: Path
) -> None:
    before = pids(pool)
    future = pool.submit(until_told, tmp_path / "started")
    until(written(tmp_path / "started"))
    assert future.cancel() is False, "it runs, as the stdlib says"
    assert future.result(20) == "told"
    assert pids(pool) == before


def test_cancelling_a_task_that_does_not_look_changes_nothing(pool: WorkerPool) -> None:
    future = pool.submit(pid_after, 0.5)
    until(future.running)
    assert future.cancel() is False
    assert future.result(20) in pids(pool)


def test_a_task_that_was_cancelled_before_it_started_is_not_given_to_another_worker(
    client: IrisClient, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"

    def pass_gate(closed: bool) -> str:
        while closed and not gate.exists():
            time.sleep(0.005)
        return "passed"

    with WorkerPool(client, num_workers=2) as pool:
        for future in [pool.submit(pass_gate, False) for _ in range(200)]:
            future.result(30)  # now several travel together
        futures = [pool.submit(pass_gate, True) for _ in range(60)]
        until(lambda: sum(future.running() for future in futures) > 2)
        for future in futures:
            future.cancel()  # those that wait with a worker are taken back from it in a moment
        try:
            until(lambda: sum(not future.cancelled() for future in futures) <= 2)
            assert pool.status().tasks.queued == 0
        finally:
            gate.touch()
        running = [future for future in futures if not future.cancelled()]
        assert {future.result(20) for future in running} == {"passed"}


def test_kill_ends_the_task_at_once_and_its_worker_is_replaced(pool: WorkerPool, tmp_path: Path) -> None:
    future = pool.submit(deaf, tmp_path / "started", tmp_path / "ended")
    until(written(tmp_path / "started"))
    seen = []
    future.add_done_callback(seen.append)
    assert future.cancel(kill=True) is True
    assert future.cancelled()
    assert future.done()
    assert seen == [future]
    with pytest.raises(CancelledError):
        future.result(0)
    victim = int((tmp_path / "started").read_text())
    until(lambda: victim not in pids(pool))
    assert (tmp_path / "ended").read_text() == "cleaned up"
    assert healthy(pool)
    assert future.cancel(kill=True) is True, "cancelled it is"
    assert pool.status().tasks.failed == 0


def test_waiters_of_a_killed_task_are_woken(pool: WorkerPool, tmp_path: Path) -> None:
    future = pool.submit(deaf, tmp_path / "started")
    other = pool.submit(abs, -4)
    until(written(tmp_path / "started"))
    threading.Thread(target=lambda: future.cancel(kill=True)).start()
    assert set(as_completed([future, other], 20)) == {future, other}
    assert wait([future, other], 5).done == {future, other}


def test_kill_of_a_finished_task_does_nothing(pool: WorkerPool) -> None:
    before = pids(pool)
    future = pool.submit(abs, -1)
    assert future.result(20) == 1
    assert future.cancel(kill=True) is False
    assert future.result(0) == 1
    assert healthy(pool)
    assert pids(pool) == before


def test_kill_of_a_task_that_waits_behind_another_spares_that_one(client: IrisClient, tmp_path: Path) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        for future in [pool.submit(pid) for _ in range(300)]:
            future.result(30)  # now several travel together
        first = [pool.submit(pid_after, 0.5), *(pool.submit(pid) for _ in range(100))]
        until(first[0].running)
        killed = [future for future in first[1:] if future.cancel(kill=True)]
        assert killed
        assert all(future.cancelled() for future in killed)
        worker = first[0].result(20)
        assert {future.result(20) for future in first if future not in killed} == {worker}
        assert pool.submit(pid).result(20) == worker


def test_kill_of_a_task_that_waits_for_another_attempt_is_final(client: IrisClient, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def dies() -> None:
        with log.open("a") as file:
            file.write("run\n")
        os.kill(os.getpid(), signal.SIGKILL)

    with WorkerPool(client, num_workers=1, max_retries=1000) as pool:
        future = pool.submit(dies)
        until(lambda: log.exists() and log.read_text().count("run") > 1)
        until(lambda: future.cancel(kill=True))
        assert future.cancelled()
        assert pool.submit(abs, -1).result(30) == 1


def test_tasks_may_be_killed_while_they_finish(pool: WorkerPool) -> None:
    """Each future ends either way, and the pool stays of use."""
    for round_number in range(6):
        futures = [pool.submit(pid_after, 0.002 * (n % 3)) for n in range(40)]
        time.sleep(0.003 * round_number)  # lets the race happen at another place each time
        threads = [
            threading.Thread(target=lambda chosen=futures[start::4]: [f.cancel(kill=True) for f in chosen])
            for start in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(wait(futures, 30).done) == 40
    assert healthy(pool)


async def test_cancelling_an_asyncio_future_tells_the_running_task(pool: WorkerPool, tmp_path: Path) -> None:
    task = pool.submit(until_told, tmp_path / "started")
    future = asyncio.wrap_future(task)
    await asyncio.to_thread(until, written(tmp_path / "started"))
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await future
    assert await asyncio.to_thread(task.result, 20) == "told"


def test_the_status_tells_what_runs_and_for_how_long(pool: WorkerPool, tmp_path: Path) -> None:
    future = pool.submit(deaf, tmp_path / "started")
    until(written(tmp_path / "started"))

    def running():
        return [info for info in pool.status().worker_infos if info.task == "deaf" and info.running_for > 0.2]

    (info,) = until(running)
    assert info.state is WorkerState.BUSY
    assert info.pid == int((tmp_path / "started").read_text())
    future.cancel(kill=True)
    assert healthy(pool)
    assert sum(info.done for info in pool.status().worker_infos) == 50
