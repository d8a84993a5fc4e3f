"""Pools that grow and shrink, and workers that are replaced after a number of tasks."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from iris_actor.work.pool.monitor.pool_status import WorkerState
from tests.support.tasks import pid, pid_when_there_is
from tests.support.waiting import until


def live(pool: WorkerPool) -> int:
    return sum(info.state is not WorkerState.ENDING for info in pool.status().worker_infos)


def test_it_grows_with_the_queue_up_to_the_most_and_shrinks_to_the_least(
    client: IrisClient, tmp_path: Path
) -> None:
    with WorkerPool(client, num_workers=(1, 3), idle_timeout=0.3) as pool:
        assert pool.status().bounds == (1, 3)
        assert pool.num_workers == 1
        futures = [pool.submit(pid_when_there_is, tmp_path / "gate") for _ in range(8)]
        until(lambda: pool.status().workers.busy == 3)
        assert pool.num_workers == 3
        (tmp_path / "gate").touch()
        assert len({future.result(30) for future in futures}) == 3
        until(lambda: live(pool) == 1)
        assert pool.num_workers == 1
        assert pool.submit(abs, -1).result(30) == 1


def test_a_worker_with_a_task_is_never_ended_for_being_too_many(client: IrisClient, tmp_path: Path) -> None:
    with WorkerPool(client, num_workers=(1, 2), idle_timeout=0.2) as pool:
        long = [pool.submit(pid_when_there_is, tmp_path / "gate") for _ in range(2)]
        until(lambda: pool.status().workers.busy == 2)
        busy = {info.pid for info in pool.status().worker_infos}
        time.sleep(0.8)  # four times the idle timeout: that nothing happens takes time to see
        assert {info.pid for info in pool.status().worker_infos} == busy
        (tmp_path / "gate").touch()
        assert {future.result(30) for future in long} == busy


def test_the_least_may_be_none_at_all(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=(0, 2), idle_timeout=0.2) as pool:
        pool.wait_for_workers(timeout=10)
        assert pool.status().worker_infos == ()
        assert pool.submit(abs, -3).result(30) == 3
        until(lambda: pool.status().worker_infos == ())
        assert pool.submit(abs, -4).result(30) == 4


def test_short_work_does_not_start_more_workers(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=(1, 4)) as pool:
        pool.submit(pid).result(30)
        assert len(set(pool.map(pid, range(2000)))) == 1
        assert pool.num_workers == 1


def test_it_shrinks_and_grows_while_tasks_come_from_many_threads(client: IrisClient) -> None:
    """The race of the last idle moment of a worker with the next task for it."""
    with WorkerPool(client, num_workers=(1, 3), idle_timeout=0.01) as pool:
        results: Counter[int] = Counter()
        lock = threading.Lock()

        def use(start: int) -> None:
            for number in range(start, start + 30):
                value = pool.submit(lambda n: (time.sleep(0.02), n)[1], number).result(30)
                with lock:
                    results[value] += 1
                if number % 10 == 0:
                    time.sleep(0.05)

        threads = [threading.Thread(target=use, args=(start,)) for start in range(0, 180, 30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert results == Counter(range(180))
        assert pool.status().tasks.failed == 0


def test_resize_sets_both_bounds(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        pool.resize((2, 3))
        assert pool.num_workers == 2
        pool.wait_for_workers(2, timeout=30)
        pool.resize(1)
        until(lambda: live(pool) == 1)
        assert pool.status().bounds == (1, 1)
        for bad in (0, (3, 2), (-1, 2), (0, 0), "2", (1, 2, 3), 1.5):
            with pytest.raises(ValueError, match="num_workers must be a whole number, 1 or more"):
                pool.resize(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("most", [1, 5])
def test_a_worker_is_replaced_after_so_many_tasks(client: IrisClient, most: int) -> None:
    with WorkerPool(client, num_workers=2, max_tasks_per_worker=most) as pool:
        pids = Counter(future.result(60) for future in [pool.submit(pid) for _ in range(12)])
        assert max(pids.values()) <= most
        assert sum(pids.values()) == 12
        assert pool.status().broken is None
        assert pool.status().tasks.done == 12


def test_a_worker_that_is_spent_is_no_loss(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=1, max_tasks_per_worker=2, max_restarts=0, max_retries=0) as pool:
        assert len(set(pool.map(pid, range(8)))) == 4
        assert pool.status().failures == ()


def test_working_directory_and_environment_are_the_pool_s(client: IrisClient, tmp_path: Path) -> None:
    with WorkerPool(client, num_workers=1, cwd=tmp_path, env={"COLOUR": "teal"}) as pool:
        assert pool.submit(os.getcwd).result(30) == str(tmp_path)
        assert pool.submit(os.getenv, "COLOUR").result(30) == "teal"
        assert pool.submit(abs, -1).result(30) == 1


def test_options_that_do_not_exist_are_named(client: IrisClient) -> None:
    with pytest.raises(TypeError, match=r"no option 'num_worker'; there are .*num_workers"):
        WorkerPool(client, num_worker=3)  # type: ignore[call-arg]
