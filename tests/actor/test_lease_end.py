"""The end of a server's lease, together with its silence, is the end of its session; each alone is not.

The servers fork in C, where no hook of Python runs and the child keeps all sockets: nothing but the lease
tells that such a server is dead.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen

import pytest

from iris_actor import EtcdResolver
from iris_actor.errors import ConnectionLostError
from iris_actor.rpc.vigil import PATIENCE
from iris_actor.testing import EtcdProcess
from tests.support.processes import python
from tests.support.waiting import Stopwatch, until

TTL = 2
_SERVER = """
import ctypes, os, sys, threading
from iris_actor import ActorServer

libc = ctypes.PyDLL(None)  # keeps the interpreter's lock in its calls

class Actor:
    def pid(self):
        return os.getpid()

    def wait(self):
        threading.Event().wait()

    def hold(self, seconds):
        libc.sleep(seconds)
        return os.getpid()

    def fork(self):
        child = libc.fork()
        if child == 0:
            libc.pause()
            libc._exit(0)
        return child

with ActorServer(sys.argv[1], namespace="test") as server:
    server.register("actor", Actor(), max_concurrency=8)
    server.serve_background()
    print(server.address, flush=True)
    server.serve()
"""


@contextmanager
def serving(url: str) -> Iterator[Popen[str]]:
    process = python("-c", _SERVER, url)
    assert process.stdout is not None
    try:
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


@pytest.fixture(params=["on", "off"])
def lane(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRIS_LANE", request.param)


@pytest.mark.usefixtures("lane")
def test_calls_of_a_dead_server_end_and_new_ones_go_elsewhere_though_its_child_keeps_its_sockets(
    etcd: EtcdProcess, namespace: str
) -> None:
    url = f"{etcd.url}/{namespace}?ttl={TTL}"
    with EtcdResolver(url, namespace="test") as resolver, serving(url) as dead:
        pool = resolver.lookup("actor", resolve_timeout=30)
        child = pool.call(timeout=20).fork()
        try:
            waits = pool.submit().wait()
            again = pool.submit(idempotent=True).hold(1)
            until(lambda: not again.done())
            dead.kill()
            dead.wait(10)
            watch = Stopwatch()
            with serving(url) as other:
                with pytest.raises(ConnectionLostError, match="no longer announced"):
                    waits.result(60)
                assert again.result(60) == other.pid
                # The lease, the patience, and time for a slow machine: far from what else would end it.
                assert watch.seconds < TTL + PATIENCE + 12
                assert {pool.call(timeout=20).pid() for _ in range(4)} == {other.pid}
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.usefixtures("lane")
def test_a_server_that_lost_its_lease_and_answers_stays_usable(etcd: EtcdProcess, namespace: str) -> None:
    url = f"{etcd.url}/{namespace}?ttl={TTL}"
    with EtcdResolver(url, namespace="test") as resolver, serving(url) as server:
        pool = resolver.lookup("actor")
        pool.wait_for_size(1, 20)
        pinned = pool.endpoints()[0]
        assert pool.call(timeout=20).pid() == server.pid
        # The interpreter is held for longer than the lease and all patience: only gRPC's threads answer.
        held = pool.submit().hold(TTL + int(PATIENCE) + 4)
        waits = pool.submit().wait()
        until(lambda: pool.size == 0, timeout=TTL + 10)
        assert held.result(60) == server.pid
        assert not waits.done()
        until(lambda: pool.size == 1, timeout=30)
        assert pool.endpoints()[0].address == pinned.address
        assert pool.call(timeout=20).pid() == server.pid
        assert waits.cancel()


def test_a_server_whose_keys_somebody_deletes_goes_on_with_the_calls_that_it_has(
    etcd: EtcdProcess, namespace: str
) -> None:
    url = f"{etcd.url}/{namespace}?ttl=60"
    with EtcdResolver(url, namespace="test") as resolver, serving(url) as server:
        pool = resolver.lookup("actor")
        pool.wait_for_size(1, 20)
        waits = pool.submit().wait()
        slow = pool.submit().hold(int(PATIENCE) + 3)
        etcd_delete(etcd, f"/{namespace}/")
        until(lambda: pool.size == 0)
        assert slow.result(60) == server.pid
        assert not waits.done()
        assert waits.cancel()


def etcd_delete(etcd: EtcdProcess, prefix: str) -> None:
    from iris_actor.etcd.stubs import etcd3

    with etcd3.client(host="127.0.0.1", port=etcd.port) as client:
        client.delete_prefix(prefix)
