"""A task that waits in a call of an actor is freed when it is told to stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from iris_actor.errors import CallCancelledError
from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from tests.support.serving import Hosted, hosting, lookup_at
from tests.support.waiting import until


class Slow:
    def __init__(self) -> None:
        self.began = 0
        self.cancelled = 0

    async def work(self) -> None:
        self.began += 1
        try:
            await asyncio.sleep(120)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def blocking(address: str) -> None:
    lookup_at(address).call().work()


def with_future(address: str) -> None:
    lookup_at(address).submit().work().result()


def with_asyncio(address: str) -> None:
    async def call() -> None:
        await lookup_at(address).acall().work()

    asyncio.run(call())


@pytest.fixture
def slow() -> Iterator[Hosted]:
    actor = Slow()
    with hosting(actor, max_concurrency=4) as hosted:
        hosted.actor = actor  # type: ignore[attr-defined]
        yield hosted


@pytest.mark.parametrize("function", [blocking, with_future, with_asyncio])
def test_a_cancelled_task_that_waits_in_an_actor_call_ends(
    client: IrisClient, slow: Hosted, function
) -> None:
    actor = slow.actor  # type: ignore[attr-defined]
    with WorkerPool(client, num_workers=1) as pool:
        future = pool.submit(function, slow.address)
        until(lambda: actor.began)
        assert not future.cancel(), "it runs: its outcome counts"
        with pytest.raises(CallCancelledError):
            future.result(20)
        until(lambda: actor.cancelled == 1)
        assert pool.submit(abs, -1).result(20) == 1, "the next task is not told"


def test_a_task_over_its_timeout_leaves_no_call_behind(client: IrisClient, slow: Hosted) -> None:
    actor = slow.actor  # type: ignore[attr-defined]
    with WorkerPool(client, num_workers=1) as pool:
        future = pool.options(timeout=1).submit(blocking, slow.address)
        until(lambda: actor.began)
        assert isinstance(future.exception(20), TimeoutError)
        until(lambda: actor.cancelled == 1)
        assert pool.submit(threading.active_count).result(20) >= 1
