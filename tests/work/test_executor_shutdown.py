"""`shutdown` in all its variants: from wherever it is called, whatever is going on then."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, as_completed, wait
from pathlib import Path
from typing import Any

import pytest

from iris_actor.errors import BrokenWorkerPool, SerializationError
from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from tests.support.gate import Gate, wait_at
from tests.support.interrupts import assert_interruptible
from tests.support.waiting import until


class Unpicklable:
    def __reduce__(self) -> Any:
        raise RuntimeError("not for pickling")


def signal_then_wait(path: Path, gate: str) -> int:
    (path / f"started-{os.getpid()}").touch()
    wait_at(gate)
    return os.getpid()


def assert_over(pool: WorkerPool) -> None:
    """All workers are gone, and everybody is told so."""
    assert pool.status().worker_infos == ()
    uses: list[Callable[[], object]] = [
        lambda: pool.submit(abs, 1),
        lambda: pool.map(abs, [1]),
        lambda: pool.options(timeout=5).submit(abs, 1),
        lambda: pool.options(timeout=5).map(abs, [1]),
        lambda: pool.put("data"),
        lambda: pool.resize(2),
        pool.wait_for_workers,
    ]
    for use in uses:
        with pytest.raises(RuntimeError, match="after shutdown"):
            use()


# --- what it waits for --------------------------------------------------------------------------------


def test_shutdown_returns_when_running_tasks_are_done_and_workers_are_gone(
    client: IrisClient, tmp_path: Path
) -> None:
    pool = WorkerPool(client, num_workers=2)
    with Gate(tmp_path) as gate:
        running = [pool.submit(signal_then_wait, tmp_path, gate.name) for _ in range(2)]
        queued = [pool.submit(abs, -n) for n in range(20)]
        until(lambda: len(list(tmp_path.glob("started-*"))) == 2)
        ended = threading.Thread(target=pool.shutdown)
        ended.start()
        until(lambda: _refuses(pool))
        assert ended.is_alive()
        assert not any(future.done() for future in (*running, *queued))
    ended.join(20)
    assert not ended.is_alive()
    assert [future.result(0) for future in queued] == list(range(20))
    assert len({future.result(0) for future in running}) == 2
    assert_over(pool)


def _refuses(pool: WorkerPool) -> bool:
    try:
        pool.put("data")
    except RuntimeError:
        return True
    return False


def test_shutdown_without_waiting_returns_at_once_and_all_is_done_nevertheless(
    client: IrisClient, tmp_path: Path
) -> None:
    pool = WorkerPool(client, num_workers=1)
    with Gate(tmp_path) as gate:
        futures = [pool.submit(wait_at, gate.name, n) for n in range(10)]
        pool.shutdown(wait=False)
        pool.shutdown(wait=False)
        assert not any(future.done() for future in futures)
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.submit(abs, 1)
    assert [future.result(20) for future in futures] == list(range(10))
    pool.shutdown()
    assert_over(pool)


def test_shutdown_of_a_pool_whose_workers_have_not_started_runs_what_was_submitted(
    client: IrisClient,
) -> None:
    with WorkerPool(client, num_workers=2) as pool:
        futures = [pool.submit(abs, -n) for n in range(5)]
    assert [future.result(0) for future in futures] == list(range(5))


def test_shutdown_of_a_pool_that_was_never_used_returns(client: IrisClient) -> None:
    for wait_first in (False, True):
        pool = WorkerPool(client, num_workers=1)
        if wait_first:
            pool.wait_for_workers(timeout=30)
        pool.shutdown()
        assert_over(pool)


def test_leaving_the_context_by_an_exception_finishes_what_was_submitted(client: IrisClient) -> None:
    def leave() -> None:
        with WorkerPool(client, num_workers=1) as pool:
            futures.extend(pool.submit(abs, -n) for n in range(20))
            raise LookupError("of the block")

    futures: list[Future[int]] = []
    with pytest.raises(LookupError, match="of the block"):
        leave()
    assert [future.result(0) for future in futures] == list(range(20))


def test_a_worker_that_dies_during_shutdown_is_replaced_and_all_is_done(
    client: IrisClient, tmp_path: Path
) -> None:
    pool = WorkerPool(client, num_workers=1)
    with Gate(tmp_path) as gate:
        first = pool.submit(signal_then_wait, tmp_path, gate.name)
        rest = [pool.submit(abs, -n) for n in range(5)]
        started = until(lambda: list(tmp_path.glob("started-*")))
        killed = int(started[0].name.partition("-")[2])
        pool.shutdown(wait=False)
        os.kill(killed, signal.SIGKILL)
        until(lambda: len(list(tmp_path.glob("started-*"))) == 2)
    pool.shutdown()
    assert first.result(0) != killed
    assert [future.result(0) for future in rest] == list(range(5))
    assert_over(pool)


def test_a_task_that_cannot_be_sent_does_not_hold_shutdown_up(client: IrisClient) -> None:
    pool = WorkerPool(client, num_workers=2)
    pool.wait_for_workers(timeout=30)
    bad = [pool.submit(id, Unpicklable()) for _ in range(10)]
    pool.shutdown(wait=False)
    for future in bad:
        assert isinstance(future.exception(20), SerializationError)
    pool.shutdown()
    assert_over(pool)


def test_a_task_that_was_cancelled_just_before_does_not_hold_shutdown_up(client: IrisClient) -> None:
    for started in (False, True):
        pool = WorkerPool(client, num_workers=1)
        if started:
            assert pool.submit(abs, -1).result(20) == 1
        for future in [pool.submit(abs, -n) for n in range(20)]:
            future.cancel()
        pool.shutdown()
        assert_over(pool)


# --- cancel_futures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("waits", [True, False])
def test_cancel_futures_spares_what_runs(client: IrisClient, tmp_path: Path, waits: bool) -> None:
    pool = WorkerPool(client, num_workers=1)
    with Gate(tmp_path) as gate:
        running = pool.submit(signal_then_wait, tmp_path, gate.name)
        until(lambda: list(tmp_path.glob("started-*")))
        queued = [pool.submit(abs, n) for n in range(20)]
        shutting = threading.Thread(target=pool.shutdown, args=(waits,), kwargs={"cancel_futures": True})
        shutting.start()
        assert wait(queued, timeout=20).not_done == set()
        assert set(as_completed(queued, timeout=20)) == set(queued)
        for future in queued:
            assert future.cancelled()
            with pytest.raises(CancelledError):
                future.result(0)
        assert not running.done()
        assert shutting.is_alive() or not waits
    shutting.join(20)
    assert isinstance(running.result(20), int)
    pool.shutdown()
    assert_over(pool)


def test_cancel_futures_may_come_after_a_shutdown_that_cancelled_nothing(
    client: IrisClient, tmp_path: Path
) -> None:
    pool = WorkerPool(client, num_workers=1)
    with Gate(tmp_path) as gate:
        running = pool.submit(signal_then_wait, tmp_path, gate.name)
        until(lambda: list(tmp_path.glob("started-*")))
        queued = [pool.submit(abs, n) for n in range(5)]
        pool.shutdown(wait=False)
        assert not any(future.done() for future in queued)
        pool.shutdown(wait=False, cancel_futures=True)
        assert all(future.cancelled() for future in queued)
    pool.shutdown()
    assert isinstance(running.result(0), int)


# --- from where it is called --------------------------------------------------------------------------


def test_shutdown_may_be_called_from_many_threads_at_once(client: IrisClient) -> None:
    pool = WorkerPool(client, num_workers=2)
    futures = [pool.submit(abs, -n) for n in range(50)]
    start = threading.Barrier(8)
    failures: list[BaseException] = []

    def shut(number: int) -> None:
        try:
            start.wait()
            pool.shutdown(wait=number % 4 != 0)
            if number % 4 != 0:
                assert [future.result(0) for future in futures] == list(range(50))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=shut, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert failures == []
    assert_over(pool)


@pytest.mark.parametrize("waits", [True, False])
def test_shutdown_may_be_called_inside_the_context(client: IrisClient, waits: bool) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        future = pool.submit(abs, -1)
        pool.shutdown(wait=waits)
        assert future.result(0 if waits else 20) == 1
    assert_over(pool)


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("cancels", [True, False])
def test_shutdown_may_be_called_from_a_done_callback(client: IrisClient, waits: bool, cancels: bool) -> None:
    pool = WorkerPool(client, num_workers=1)
    returned: Future[bool] = Future()

    def shut(_: Future[int]) -> None:
        pool.shutdown(waits, cancel_futures=cancels)
        returned.set_result(True)

    pool.wait_for_workers(timeout=30)
    first = pool.submit(abs, -1)
    first.add_done_callback(shut)
    rest = _submit_while_open(pool)
    assert returned.result(20)
    assert first.result(0) == 1
    pool.shutdown()
    assert all(future.done() for future in rest)
    assert all(future.result() == 7 for future in rest if not future.cancelled())
    assert cancels or not any(future.cancelled() for future in rest)
    assert_over(pool)


def _submit_while_open(pool: Executor) -> list[Future[int]]:
    futures: list[Future[int]] = []
    try:
        futures.extend(pool.submit(abs, -7) for _ in range(50))
    except RuntimeError:
        pass  # it was shut down meanwhile
    return futures


def test_shutdown_may_be_called_from_a_callback_of_a_task_that_it_cancels(
    client: IrisClient, tmp_path: Path
) -> None:
    with WorkerPool(client, num_workers=1) as pool, Gate(tmp_path) as gate:
        running = pool.submit(wait_at, gate.name)
        until(running.running)
        queued = [pool.submit(abs, n) for n in range(5)]
        for future in queued:
            future.add_done_callback(lambda _: pool.shutdown(wait=False, cancel_futures=True))
        pool.shutdown(wait=False, cancel_futures=True)
        assert all(future.cancelled() for future in queued)


def test_an_interrupt_that_does_not_wake_the_main_thread_is_not_lost(
    client: IrisClient, tmp_path: Path
) -> None:
    with (
        Gate(tmp_path) as gate,
        WorkerPool(client, num_workers=1, initializer=wait_at, initargs=(gate.name,)) as pool,
    ):
        assert_interruptible(lambda: pool.wait_for_workers(timeout=60))
        future = pool.submit(pow, 2, 5)
        assert_interruptible(pool.shutdown)
        with pytest.raises(BrokenWorkerPool, match="killed"):  # who interrupts a shutdown wants it at once
            future.result(timeout=30)


def test_a_view_with_options_shuts_the_pool_down(client: IrisClient) -> None:
    pool = WorkerPool(client, num_workers=1)
    with pool.options(max_retries=0).options(timeout=30) as view:
        future = view.submit(abs, -1)
    assert future.result(0) == 1
    assert_over(pool)


# --- races --------------------------------------------------------------------------------------------


class PickledSlowly:
    """What uses it is captured when the test says so."""

    entered = threading.Event()
    go = threading.Event()

    def __reduce__(self) -> Any:
        self.entered.set()
        assert self.go.wait(20)
        return int, ()


def test_a_submit_that_shutdown_overtakes_is_refused(client: IrisClient) -> None:
    outcome: Future[object] = Future()
    captured = PickledSlowly()

    def submit() -> None:
        try:
            outcome.set_result(pool.submit(lambda: captured).result(20))
        except BaseException as error:
            outcome.set_exception(error)

    pool = WorkerPool(client, num_workers=1)
    thread = threading.Thread(target=submit)
    thread.start()
    assert captured.entered.wait(20)
    pool.shutdown()
    captured.go.set()
    with pytest.raises(RuntimeError, match="after shutdown"):
        outcome.result(30)
    thread.join(20)


def test_whatever_was_accepted_while_the_pool_was_shut_down_is_done(client: IrisClient) -> None:
    def submit(mine: list[Future[int]]) -> None:
        with pytest.raises(RuntimeError, match="after shutdown"):
            mine.extend(pool.submit(abs, -3) for _ in itertools.count())

    for _ in range(3):
        pool = WorkerPool(client, num_workers=1)
        accepted: list[list[Future[int]]] = [[], []]
        threads = [threading.Thread(target=submit, args=(mine,)) for mine in accepted]
        for thread in threads:
            thread.start()
        until(accepted[-1].__len__)
        pool.shutdown()
        for thread in threads:
            thread.join(20)
        futures = [future for mine in accepted for future in mine]
        assert wait(futures, timeout=20).not_done == set()
        assert {future.result(0) for future in futures} == {3}
