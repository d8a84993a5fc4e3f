"""Futures of a WorkerPool next to those of the standard library's executors."""

from __future__ import annotations

import operator
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, as_completed, wait

from iris_actor import WorkerPool


def test_as_completed_takes_futures_of_a_worker_pool_and_of_threads_together(pool: WorkerPool):
    with ThreadPoolExecutor(2) as threads:
        executors = [pool, threads] * 10
        futures = [executor.submit(operator.mul, n, n) for n, executor in enumerate(executors)]
        assert sorted(future.result() for future in as_completed(futures, 20)) == [n * n for n in range(20)]


def test_wait_takes_futures_of_a_worker_pool_and_of_threads_together(pool: WorkerPool):
    gate = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(gate.wait, 20)
        quick = pool.submit(operator.add, 1, 2)
        done, not_done = wait([held, quick], 20, FIRST_COMPLETED)
        assert (done, not_done) == ({quick}, {held})
        gate.set()
        done, not_done = wait([held, quick], 20)
        assert (done, not_done) == ({quick, held}, set())


def test_a_thread_may_wait_for_a_worker_and_a_done_callback_may_hand_over_to_a_thread(pool: WorkerPool):
    handed_over = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(lambda: pool.submit(operator.neg, 4).result(20)).result(20) == -4
        future = pool.submit(operator.neg, 5)
        future.add_done_callback(lambda _: threads.submit(handed_over.set))
        assert handed_over.wait(20)
