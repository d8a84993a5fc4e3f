"""Long runs under faults that never end: `make soak`. Each takes a minute or two."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from iris_actor import EtcdResolver, IrisClient, WorkerPool
from iris_actor.testing import EtcdProcess
from tests.support.lab import Lab
from tests.support.processes import ServerProcess
from tests.support.proxy import Proxy
from tests.support.serving import hosting, lookup_at
from tests.support.waiting import until

pytestmark = pytest.mark.soak

SECONDS = 60.0


@contextmanager
def repeating(action: Callable[[], None], pause: Callable[[], float]) -> Iterator[None]:
    """Do `action` again and again, from another thread, with `pause()` seconds in between."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(pause()):
            action()

    thread = threading.Thread(target=run, name="test-soak")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.timeout(600)
def test_every_call_runs_once_through_a_connection_that_breaks_all_the_time():
    with hosting(Lab()) as hosted, Proxy(hosted.address) as proxy:
        pool = lookup_at(proxy.address)
        numbers = itertools.count()
        end = time.monotonic() + SECONDS
        grown: list[int] = []
        with repeating(proxy.cut, lambda: random.uniform(0.02, 0.5)):
            while time.monotonic() < end:
                names = [str(next(numbers)) for _ in range(500)]
                futures = [pool.submit(timeout=60).count(name) for name in names]
                assert [future.result() for future in futures] == [1] * 500
                assert list(pool.stream(timeout=60).items(300, "streamed")) == list(range(300))
                payload = os.urandom(3_000_000)
                assert pool.call(timeout=60).echo(payload) == payload
                grown.append(psutil.Process().memory_info().rss)
        assert proxy.accepted > SECONDS / 2
        # The counts grow by one name a call; what is kept for resumption must not.
        assert grown[-1] < grown[len(grown) // 4] + 200_000_000


@pytest.mark.timeout(600)
def test_a_pool_whose_workers_are_killed_all_the_time_delivers_every_result():
    with IrisClient.local() as client, WorkerPool(client, num_workers=3, max_retries=50) as pool:
        pool.wait_for_workers(timeout=30)

        def kill_one() -> None:
            pids = [info.pid for info in pool.status().worker_infos if info.pid]
            if pids:
                try:
                    os.kill(random.choice(pids), signal.SIGKILL)
                except ProcessLookupError:
                    pass

        end = time.monotonic() + SECONDS
        with repeating(kill_one, lambda: random.uniform(1.0, 2.0)):
            while time.monotonic() < end:
                assert list(pool.map(abs, range(-2_000, 0))) == list(range(2_000, 0, -1))
        assert pool.submit(pow, 2, 10).result(60) == 1024


@pytest.mark.timeout(600)
def test_a_resolver_follows_servers_that_come_and_go_while_etcd_does_so_too(namespace: str):
    with EtcdProcess() as etcd:
        url = f"{etcd.url}?ttl=3"
        with (
            EtcdResolver(url, namespace=namespace) as resolver,
            ServerProcess(url, namespace=namespace) as stays,
        ):
            pool = resolver.lookup("actor")
            pool.wait_for_size(1, timeout=10)
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                with ServerProcess(url, namespace=namespace) as guest:
                    until(lambda: pool.size == 2, 20)
                    etcd.restart()
                    assert {pool.call(timeout=20).pid() for _ in range(10)} == {stays.pid, guest.pid}
                    random.choice([guest.kill, guest.terminate])()
                    until(lambda: pool.size == 1, 30)
                assert pool.call(timeout=20, idempotent=True).pid() == stays.pid
