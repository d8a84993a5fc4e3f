"""Workers are killed at random while thousands of tasks run: each task ends once, the pool is well after."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from contextlib import contextmanager, suppress

import pytest

from iris_actor.retry import Backoff
from iris_actor.work.client import IrisClient
from iris_actor.work.pool.config import WorkerPoolConfig
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from iris_actor.work.pool.monitor.pool_status import WorkerState
from tests.support.tasks import triple, triple_slowly

pytestmark = pytest.mark.timeout(240)  # on a busy machine new workers take longer to start than to be killed

TASKS = 5000
SOME = 2000
EVERY = 0.3
"""Seconds between two kills."""


@contextmanager
def killing(pool: WorkerPool) -> Iterator[Counter[int]]:
    """SIGKILLs a random worker of `pool` again and again; counts whom it hit."""
    over = threading.Event()
    killed: Counter[int] = Counter()
    chosen = random.Random(7)

    def kill() -> None:
        while not over.wait(EVERY):
            infos = [info for info in pool.status().worker_infos if info.pid]
            alive = [info.pid for info in infos if info.state in {WorkerState.IDLE, WorkerState.BUSY}]
            if alive:
                pid = chosen.choice(alive)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed[pid] += 1

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


@pytest.fixture
def pool(client: IrisClient) -> Iterator[WorkerPool]:
    config = WorkerPoolConfig(num_workers=3, restart_backoff=Backoff(first=0.01, most=0.1), max_restarts=20)
    with WorkerPool(client, config) as pool:
        pool.wait_for_workers(timeout=30)
        yield pool


def assert_healthy(pool: WorkerPool) -> None:
    pool.wait_for_workers(timeout=30)
    assert pool.status().broken is None
    assert pool.status().tasks.failed == 0
    assert list(pool.map(triple, range(200))) == [number * 3 for number in range(200)]
    assert pool.status().workers.failed == 0


@pytest.mark.parametrize("task", [triple_slowly, triple])
def test_map_gives_each_result_once_and_in_order_while_workers_are_killed(
    pool: WorkerPool, task: Callable[[int], int]
) -> None:
    rounds = 0
    with killing(pool) as killed:
        while killed.total() < 3:  # 5,000 tasks that do nothing are over before the first kill
            assert list(pool.map(task, range(TASKS))) == [number * 3 for number in range(TASKS)]
            rounds += 1
    assert_healthy(pool)
    assert pool.status().tasks.done == rounds * TASKS + 200


def test_each_future_ends_once_while_workers_are_killed(pool: WorkerPool) -> None:
    ended: Counter[int] = Counter()
    with killing(pool) as killed:
        futures = [pool.submit(triple_slowly, number) for number in range(SOME)]
        for future in futures:
            future.add_done_callback(lambda future: ended.update([future.result()]))
        assert len(list(as_completed(futures, timeout=200))) == SOME
    assert killed
    assert ended == Counter({number * 3: 1 for number in range(SOME)})
    assert_healthy(pool)
