"""What a pool logs for whoever operates it."""

from __future__ import annotations

import logging
import os
import signal

import pytest

from iris_actor.errors import BrokenWorkerPool
from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from tests.support.waiting import until


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name.startswith("iris_actor.work.pool")]


def test_it_tells_of_workers_that_are_up_that_died_and_that_take_their_place(
    client: IrisClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with WorkerPool(client, num_workers=1, name="told") as pool:
        pool.wait_for_workers(timeout=30)
        (info,) = pool.status().worker_infos
        os.kill(info.pid, signal.SIGKILL)
        until(lambda: sum("is ready" in line for line in lines(caplog)) == 2, 30)
        assert pool.submit(abs, -1).result(30) == 1
    told = lines(caplog)
    assert told[0].startswith(f"pool told: worker-0 is ready (pid {info.pid} on ")
    assert told[1].startswith("pool told: worker-0 ")
    assert "SIGKILL" in told[1]
    assert "another one starts in" in told[1]
    assert told[-1] == "pool told has ended: 1 tasks done, 0 failed"
    assert all(
        record.levelno == logging.INFO for record in caplog.records if "pool told" in record.getMessage()
    )


def test_it_tells_why_a_pool_is_broken(client: IrisClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with WorkerPool(client, num_workers=1, name="broken", initializer=os._exit, initargs=(3,)) as pool:
        with pytest.raises(BrokenWorkerPool):
            pool.submit(abs, -1).result(60)
    assert any(line.startswith("pool broken is broken: ") for line in lines(caplog))
