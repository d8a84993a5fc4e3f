"""What `concurrent.futures` promises of an executor's futures: arguments, callbacks, cancelling, waiting."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    BrokenExecutor,
    CancelledError,
    Future,
    as_completed,
    wait,
)
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any

import pytest

from iris_actor.errors import BrokenWorkerPool
from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from tests.support.gate import Gate, wait_at
from tests.support.waiting import until


def boom(text: str) -> None:
    raise KeyError(text)


def keywords(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


# --- arguments ----------------------------------------------------------------------------------------


def test_submit_needs_a_function_by_position(shared_pool: WorkerPool) -> None:
    submit: Any = shared_pool.submit
    for kwargs in ({}, {"fn": abs}, {"fn": abs, "arg": 1}):
        with pytest.raises(TypeError, match="fn"):
            submit(**kwargs)
    for bad in (None, 3, "abs", [abs]):
        with pytest.raises(TypeError, match="callable"):
            submit(bad)


def test_any_keyword_reaches_the_function(shared_pool: WorkerPool) -> None:
    names = (
        "self fn args kwargs options timeout task seq function message caller spread weight chunksize"
        " max_retries canceller target deadline"
    )
    given = {name: number for number, name in enumerate(names.split())}
    assert shared_pool.submit(keywords, 1, **given).result(20) == ((1,), given)


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2", True, (2, 1), (1, 2, 3)])
def test_a_number_of_workers_that_makes_no_sense_is_refused(client: IrisClient, bad: Any) -> None:
    for name in ("num_workers", "max_workers"):
        with pytest.raises(ValueError, match=r"_workers must be a whole number, 1 or more.*got "):
            WorkerPool(client, **{name: bad})


def test_the_refusal_names_the_argument_that_the_caller_wrote(client: IrisClient) -> None:
    with pytest.raises(ValueError, match=r"^max_workers must be"):
        WorkerPool(client, max_workers=0)


def test_none_stands_for_the_default_number_of_workers(client: IrisClient) -> None:
    with WorkerPool(client, max_workers=None) as pool, WorkerPool(client) as other:
        assert pool.num_workers == other.num_workers >= 1


# --- done callbacks -----------------------------------------------------------------------------------


def test_a_callback_that_raises_is_logged_and_the_others_are_called_in_order(
    shared_pool: WorkerPool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[object] = []
    last = threading.Event()
    with Gate(tmp_path) as gate:
        future = shared_pool.submit(wait_at, gate.name, "value")
        future.add_done_callback(lambda f: calls.append(f is future))
        future.add_done_callback(lambda _: 1 // 0)
        future.add_done_callback(lambda f: calls.append(f.result(timeout=0)))
        future.add_done_callback(lambda _: last.set())
    with caplog.at_level(logging.ERROR, logger="concurrent.futures"):
        assert last.wait(20)
    assert calls == [True, "value"]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]
    assert shared_pool.submit(abs, -1).result(20) == 1


def test_a_callback_sees_what_the_task_raised(shared_pool: WorkerPool) -> None:
    seen: Future[BaseException | None] = Future()
    shared_pool.submit(boom, "x").add_done_callback(lambda f: seen.set_result(f.exception(timeout=0)))
    assert isinstance(seen.result(20), KeyError)


def test_a_callback_that_is_added_later_is_called_at_once_by_whoever_adds_it(shared_pool: WorkerPool) -> None:
    callers: list[threading.Thread] = []
    for future in (shared_pool.submit(abs, 1), shared_pool.submit(boom, "x")):
        future.exception(20)
        future.add_done_callback(lambda _: callers.append(threading.current_thread()))
    assert callers == [threading.current_thread()] * 2


def test_callbacks_of_a_cancelled_task_are_called_by_whoever_cancels(
    client: IrisClient, tmp_path: Path
) -> None:
    calls: list[tuple[bool, threading.Thread]] = []
    with WorkerPool(client, num_workers=1) as pool, Gate(tmp_path) as gate:
        pool.submit(wait_at, gate.name)
        queued = pool.submit(abs, 1)
        queued.add_done_callback(lambda f: calls.append((f.cancelled(), threading.current_thread())))
        assert queued.cancel()
        assert calls == [(True, threading.current_thread())]
        assert queued.cancel(), "it is cancelled already, and says so"
        assert len(calls) == 1


def test_callbacks_may_submit_and_chains_of_them_do_not_mix(shared_pool: WorkerPool) -> None:
    seen: dict[str, list[int]] = {name: [] for name in "abc"}
    ends = {name: threading.Event() for name in seen}

    def follow(future: Future[tuple[tuple[Any, ...], dict[str, Any]]]) -> None:
        (name, count), _ = future.result()
        seen[name].append(count)
        if count:
            shared_pool.submit(keywords, name, count - 1).add_done_callback(follow)
        else:
            ends[name].set()

    for name, length in zip(seen, (100, 50, 60), strict=True):
        shared_pool.submit(keywords, name, length).add_done_callback(follow)
    assert all(end.wait(20) for end in ends.values())
    assert seen == {
        name: list(range(length, -1, -1)) for name, length in zip("abc", (100, 50, 60), strict=True)
    }


def test_a_callback_that_raises_a_base_exception_holds_up_nobody(shared_pool: WorkerPool) -> None:
    def leave(future: Future[int]) -> None:
        raise kinds[future.result()]

    kinds = [SystemExit, KeyboardInterrupt, GeneratorExit]
    futures = [shared_pool.submit(abs, -n) for n in range(50)]
    for future in futures[:3]:
        future.add_done_callback(leave)
    called = threading.Event()
    futures[-1].add_done_callback(lambda _: called.set())
    assert wait(futures, timeout=20).not_done == set()
    assert called.wait(20)
    assert [future.result(0) for future in futures] == list(range(50))


def test_a_callback_that_would_wait_for_ever_is_told(shared_pool: WorkerPool, tmp_path: Path) -> None:
    outcome: Future[object] = Future()

    def follow(_: Future[int]) -> None:
        try:
            outcome.set_result(shared_pool.submit(wait_at, gate.name).result())
        except BaseException as error:
            outcome.set_exception(error)

    with Gate(tmp_path) as gate:
        shared_pool.submit(abs, -1).add_done_callback(follow)
        with pytest.raises(RuntimeError, match="would wait for ever"):
            outcome.result(20)
    assert shared_pool.submit(abs, -1).result(20) == 1


def test_the_last_callback_does_not_keep_shutdown_waiting_for_one_that_failed(client: IrisClient) -> None:
    def leave(future: Future[int]) -> None:
        raise SystemExit

    with WorkerPool(client, num_workers=1) as pool:
        future = pool.submit(abs, -1)
        future.add_done_callback(leave)
    assert future.result(0) == 1
    assert pool.status().worker_infos == ()


# --- cancelling ---------------------------------------------------------------------------------------


def test_a_finished_task_cannot_be_cancelled(shared_pool: WorkerPool) -> None:
    future = shared_pool.submit(abs, -1)
    assert future.result(20) == 1
    assert not future.cancel()
    assert not future.cancelled()
    assert future.result(0) == 1


def test_a_cancelled_task_never_runs(client: IrisClient, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with WorkerPool(client, num_workers=1) as pool:
        with Gate(tmp_path) as gate:
            first = pool.submit(wait_at, gate.name)
            until(first.running)
            futures = [pool.submit(Path(f"{log}-{n}").touch) for n in range(20)]
            assert all(future.cancel() for future in futures[::2])
            for future in futures[::2]:
                with pytest.raises(CancelledError):
                    future.result(0)
        for future in futures[1::2]:
            future.result(20)
    assert {path.name for path in tmp_path.glob("log-*")} == {f"log-{n}" for n in range(1, 20, 2)}


def test_tasks_may_be_cancelled_from_several_threads_while_workers_take_them(shared_pool: WorkerPool) -> None:
    before = shared_pool.status().tasks.done
    futures = [shared_pool.submit(abs, -n) for n in range(2000)]
    start = threading.Barrier(4)
    cancelled: list[int] = []

    def cancel(first: int) -> None:
        start.wait()
        cancelled.extend(n for n in range(1999 - first, -1, -4) if futures[n].cancel())

    threads = [threading.Thread(target=cancel, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    kept = set(range(2000)) - set(cancelled)
    assert {n for n in range(2000) if futures[n].cancelled()} == set(cancelled)
    assert all(futures[n].result(20) == n for n in kept)
    assert shared_pool.submit(abs, -1).result(20) == 1
    assert shared_pool.status().tasks.queued == 0
    assert shared_pool.status().tasks.done - before == len(kept) + 1


# --- waiting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", [lambda pool: pool.status(), lambda pool: None], ids=["seen", "unseen"])
def test_waiters_are_told_at_once_that_a_task_was_cancelled(
    client: IrisClient, tmp_path: Path, look: Callable[[WorkerPool], object]
) -> None:
    with WorkerPool(client, num_workers=1) as pool, Gate(tmp_path) as gate:
        running = pool.submit(wait_at, gate.name)
        until(running.running)
        queued = [pool.submit(abs, n) for n in range(4)]
        assert queued[1].cancel()
        look(pool)
        assert wait([queued[1]], timeout=2).done == {queued[1]}
        assert queued[2].cancel()
        look(pool)
        assert list(as_completed([queued[2]], timeout=2)) == [queued[2]]
        done, pending = wait([running, *queued], timeout=2, return_when=FIRST_COMPLETED)
        assert (done, pending) == ({queued[1], queued[2]}, {running, queued[0], queued[3]})


def test_wait_returns_with_the_first_completed(shared_pool: WorkerPool, tmp_path: Path) -> None:
    with Gate(tmp_path) as gate:
        slow = shared_pool.submit(wait_at, gate.name)
        quick = shared_pool.submit(abs, -1)
        assert wait([slow, quick, quick], timeout=20, return_when=FIRST_COMPLETED) == ({quick}, {slow})
        assert wait([slow], timeout=0, return_when=FIRST_COMPLETED) == (set(), {slow})
    assert wait([slow, slow], timeout=20, return_when=ALL_COMPLETED) == ({slow}, set())


def test_wait_returns_with_the_first_exception(shared_pool: WorkerPool, tmp_path: Path) -> None:
    with Gate(tmp_path) as gate:
        slow = shared_pool.submit(wait_at, gate.name)
        good = shared_pool.submit(abs, -1)
        good.result(20)
        bad = shared_pool.submit(boom, "x")
        assert wait([slow, good, bad], timeout=20, return_when=FIRST_EXCEPTION) == ({good, bad}, {slow})
    assert wait([slow, good], timeout=20, return_when=FIRST_EXCEPTION) == ({slow, good}, set())


def test_as_completed_yields_each_once_in_the_order_of_completion(
    shared_pool: WorkerPool, tmp_path: Path
) -> None:
    with Gate(tmp_path) as gate:
        slow = shared_pool.submit(wait_at, gate.name)
        quick = [shared_pool.submit(abs, n) for n in range(3)]
        results = as_completed([slow, *quick, slow, quick[0]], timeout=20)
        assert {next(results) for _ in quick} == set(quick)
        gate.open()
        assert list(results) == [slow]


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_as_completed_gives_up_in_time_and_says_how_many_are_missing(
    shared_pool: WorkerPool, tmp_path: Path, timeout: float
) -> None:
    with Gate(tmp_path) as gate:
        slow = shared_pool.submit(wait_at, gate.name)
        done = [shared_pool.submit(abs, 1), shared_pool.submit(boom, "x")]
        wait(done, timeout=20)
        found: set[Future[Any]] = set()
        with pytest.raises(FutureTimeoutError, match=r"1 \(of 3\) futures unfinished"):
            found.update(as_completed([slow, *done], timeout=timeout))
        assert found == set(done)


def test_a_wait_for_one_result_gives_up_in_time_and_may_be_repeated(
    shared_pool: WorkerPool, tmp_path: Path
) -> None:
    with Gate(tmp_path) as gate:
        future = shared_pool.submit(wait_at, gate.name, "late")
        for timeout in (0, 0.02):
            with pytest.raises(FutureTimeoutError):
                future.result(timeout)
            with pytest.raises(FutureTimeoutError):
                future.exception(timeout)
        gate.open()
        assert future.result(20) == "late"
        assert future.exception(0) is None


# --- several threads ----------------------------------------------------------------------------------


def test_a_pool_is_used_by_many_threads_at_once(shared_pool: WorkerPool) -> None:
    failures: list[object] = []
    start = threading.Barrier(8)

    def use(number: int) -> None:
        try:
            start.wait()
            mapped = shared_pool.map(abs, range(-40, 0), timeout=30, chunksize=1 + number % 3)
            futures = [shared_pool.submit(divmod, n, 7) for n in range(40)]
            gone = [future.cancel() for future in futures[::3]]
            assert list(mapped) == list(range(40, 0, -1))
            for n, future in enumerate(futures):
                if n % 3 == 0 and gone[n // 3]:
                    assert future.cancelled()
                else:
                    assert future.result(30) == divmod(n, 7)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert failures == []


def test_a_pool_may_be_made_in_one_thread_and_used_and_shut_down_in_others(client: IrisClient) -> None:
    made: Future[WorkerPool] = Future()
    results: Future[list[int]] = Future()

    def run(step: Callable[[], None]) -> None:
        thread = threading.Thread(target=step)
        thread.start()
        thread.join(40)
        assert not thread.is_alive()

    run(lambda: made.set_result(WorkerPool(client, num_workers=1)))
    pool = made.result(0)
    run(lambda: results.set_result(list(pool.map(abs, range(-5, 0)))))
    run(pool.shutdown)
    assert results.result(0) == [5, 4, 3, 2, 1]
    assert pool.status().worker_infos == ()


# --- a pool that breaks -------------------------------------------------------------------------------


def set_up(error: type[BaseException]) -> None:
    raise error("no licence")


@pytest.mark.parametrize("kind", [OSError, SystemExit])
def test_each_future_of_a_pool_whose_initializer_fails_has_an_error_of_its_own(
    client: IrisClient, kind: type[BaseException]
) -> None:
    with WorkerPool(client, num_workers=2, initializer=set_up, initargs=(kind,)) as pool:
        futures = [pool.submit(abs, n) for n in range(4)]
        errors = [future.exception(20) for future in futures]
        assert {type(error) for error in errors} == {BrokenWorkerPool}
        assert all(isinstance(error, BrokenExecutor) for error in errors)
        assert len({id(error) for error in errors}) == len(errors)
        assert {type(error.__cause__) for error in errors if error} == {kind}
        refused: list[Callable[[], object]] = [
            lambda: pool.submit(abs, 1),
            lambda: pool.map(abs, [1]),
            lambda: pool.options(max_retries=1).submit(abs, 1),
            lambda: pool.resize(3),
            lambda: pool.put("data"),
        ]
        for use in refused:
            with pytest.raises(BrokenWorkerPool, match="no licence"):
                use()
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(abs, 1)
