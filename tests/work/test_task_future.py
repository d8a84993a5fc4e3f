"""TaskFuture replaces the condition of the stdlib's Future, so all that waits on one is tried here."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, as_completed, wait
from concurrent.futures import TimeoutError as FutureTimeoutError

import pytest

from iris_actor.work.pool.payload.task_future import TaskFuture
from tests.support.interrupts import assert_interruptible


def test_it_is_a_future_and_says_so() -> None:
    future = TaskFuture()
    assert isinstance(future, Future)
    assert "state=pending" in repr(future)
    future.set_result(3)
    assert "returned int" in repr(future)


def test_many_threads_can_wait_for_one_result() -> None:
    future = TaskFuture()
    results: list[int] = []
    started = threading.Barrier(9)

    def take() -> None:
        started.wait()
        results.append(future.result(20))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    started.wait()
    future.set_result(7)
    for thread in threads:
        thread.join(20)
    assert results == [7] * 8


def test_waiting_gives_up_in_time_and_may_be_repeated() -> None:
    future = TaskFuture()
    for _ in range(2):
        with pytest.raises(FutureTimeoutError):
            future.result(timeout=0.01)
    future.set_exception(KeyError("x"))
    with pytest.raises(KeyError):
        future.result(timeout=20)


def test_an_interrupt_that_does_not_wake_the_waiter_is_not_lost() -> None:
    assert_interruptible(TaskFuture().result)
    assert_interruptible(lambda: TaskFuture().exception(timeout=60))


def test_wait_and_as_completed_take_it_together_with_ordinary_futures() -> None:
    futures: list[Future[int]] = [TaskFuture(), Future(), TaskFuture()]
    threading.Timer(0.01, futures[2].set_result, (2,)).start()
    done, pending = wait(futures, timeout=20, return_when=FIRST_COMPLETED)
    assert done == {futures[2]}
    assert len(pending) == 2
    futures[0].set_result(0)
    futures[1].set_result(1)
    assert {future.result() for future in as_completed(futures, timeout=20)} == {0, 1, 2}


def test_cancelling_wakes_those_who_wait() -> None:
    future = TaskFuture()
    threading.Timer(0.01, future.cancel).start()
    with pytest.raises(CancelledError):
        future.result(20)
    assert not future.set_running_or_notify_cancel()


async def test_asyncio_can_await_it() -> None:
    future = TaskFuture()
    threading.Timer(0.01, future.set_result, (5,)).start()
    assert await asyncio.wrap_future(future) == 5
