"""Where gevent has patched the standard library: refused with a clear error, or at work; never a hang."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.lab import Lab
from tests.support.processes import run_script
from tests.support.serving import Hosted, hosting

_ALL = "from gevent import monkey; monkey.patch_all()\n"
_ALL_BUT_THREADS = "from gevent import monkey; monkey.patch_all(thread=False)\n"
_REFUSED = """
import sys, time
from iris_actor.errors import IrisError, PatchedThreadsError

def refused(action):
    start = time.monotonic()
    try:
        action()
    except PatchedThreadsError as error:
        assert isinstance(error, RuntimeError) and isinstance(error, IrisError)
        assert error.library == "gevent" and "patch_all(thread=False)" in str(error), error
        return time.monotonic() - start < 10
    return False
"""


@pytest.fixture
def hosted() -> Iterator[Hosted]:
    with hosting(Lab(), max_concurrency=8) as hosted:
        yield hosted


_USES = {
    "a call": "lookup().call(timeout=5).echo(1)",
    "a call without a timeout": "lookup().call().echo(1)",
    "a future": "lookup().submit().echo(1).result(5)",
    "a stream": "next(lookup().stream().items(3))",
    "a server": "ActorServer()",
    "a resolver": "EtcdResolver('etcd://127.0.0.1:1')",
    "a memory registry": "connect_registry('memory://')",
    "a pool": "WorkerPool(num_workers=1)",
    "a launcher": "LocalLauncher()",
}


@pytest.mark.parametrize("use", _USES.values(), ids=_USES)
def test_patched_threads_are_refused_at_first_use(hosted: Hosted, use: str) -> None:
    names = "ActorServer, EtcdResolver, FixedResolver, LocalLauncher, WorkerPool, connect_registry"
    script = f"""
from iris_actor import {names}

def lookup():
    return FixedResolver({{"actor": sys.argv[1]}}, namespace="test").lookup("actor")

print(refused(lambda: {use}))
"""
    assert run_script(_ALL + _REFUSED + script, hosted.address).strip() == "True"


def test_they_are_refused_with_grpcs_own_support_of_gevent_too(hosted: Hosted) -> None:
    script = """
import grpc.experimental.gevent
grpc.experimental.gevent.init_gevent()
from iris_actor import FixedResolver
pool = FixedResolver({"actor": sys.argv[1]}, namespace="test").lookup("actor")
print(refused(lambda: pool.call(timeout=5).echo(1)))
"""
    assert run_script(_ALL + _REFUSED + script, hosted.address).strip() == "True"


def test_they_are_refused_in_greenlets_too(hosted: Hosted) -> None:
    script = """
import gevent
from iris_actor import FixedResolver
pool = FixedResolver({"actor": sys.argv[1]}, namespace="test").lookup("actor")
jobs = [gevent.spawn(refused, lambda: pool.call(timeout=5).echo(1)) for _ in range(3)]
gevent.joinall(jobs, timeout=15)
print([job.value for job in jobs])
"""
    assert run_script(_ALL + _REFUSED + script, hosted.address).strip() == "[True, True, True]"


def test_a_process_that_was_patched_after_its_first_call_keeps_its_timeouts(hosted: Hosted) -> None:
    script = """
import sys, time
from iris_actor import FixedResolver
pool = FixedResolver({"actor": sys.argv[1]}, namespace="test").lookup("actor")
assert pool.call(timeout=20).echo(1) == 1
from gevent import monkey; monkey.patch_all()
import gevent

def late():
    start = time.monotonic()
    try:
        pool.call(timeout=0.5).hold("never")
    except TimeoutError:
        return time.monotonic() - start < 10
    return False

print(pool.call(timeout=20).echo(2), pool.submit().echo(3).result(20), late())
jobs = [gevent.spawn(late) for _ in range(3)]
gevent.joinall(jobs, timeout=20)
print([job.value for job in jobs], flush=True)
import os; os._exit(0)  # how such a process ends is between gevent and the interpreter
"""
    out = run_script(script, hosted.address)
    assert out.splitlines() == ["2 3 True", "[True, True, True]"]


_CALLS = """
import asyncio, sys
from iris_actor import FixedResolver
pool = FixedResolver({"actor": sys.argv[1]}, namespace="test").lookup("actor")
blob = bytes(3_000_000)
print(
    pool.call(timeout=20).echo(1),
    pool.submit().echo(2).result(20),
    list(pool.stream().items(3)),
    pool.call(timeout=20).echo(blob) == blob,
    [each.value for each in pool.broadcast().echo(4).wait_all(20)],
)
try:
    pool.call(timeout=0.5).hold("never")
except TimeoutError:
    print("in time")
"""


@pytest.mark.parametrize("lane", ["on", "off"])
def test_calls_work_with_all_but_threads_patched(
    hosted: Hosted, lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IRIS_LANE", lane)
    out = run_script(_ALL_BUT_THREADS + _CALLS, hosted.address)
    assert out.splitlines() == ["1 2 [0, 1, 2] True [4]", "in time"]


def test_calls_work_with_grpcs_own_support_of_gevent(hosted: Hosted) -> None:
    init = "import grpc.experimental.gevent; grpc.experimental.gevent.init_gevent()\n"
    out = run_script(_ALL_BUT_THREADS + init + _CALLS, hosted.address)
    assert out.splitlines() == ["1 2 [0, 1, 2] True [4]", "in time"]


def test_a_server_works_with_all_but_threads_patched() -> None:
    script = """
import asyncio, threading
from iris_actor import ActorServer, EtcdResolver
from iris_actor.testing import EtcdProcess

class Actor:
    def plain(self, x):
        return x

    async def slow(self, x):
        await asyncio.sleep(0.01)
        return x

    def items(self):
        yield from range(3)

with EtcdProcess() as etcd:
    with ActorServer(etcd.url, namespace="n") as server, EtcdResolver(etcd.url, namespace="n") as resolver:
        server.register("a", Actor(), max_concurrency=4)
        server.serve_background()
        pool = resolver.lookup("a")
        print(pool.call(timeout=20).plain(1), pool.call(timeout=20).slow(2), list(pool.stream().items()))
print("closed")
"""
    assert run_script(_ALL_BUT_THREADS + script).splitlines() == ["1 2 [0, 1, 2]", "closed"]


def test_a_pool_works_with_all_but_threads_patched() -> None:
    script = """
import os, signal
from iris_actor import WorkerPool

def kill_the_first(marker):
    if not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return "second"

import sys, tempfile
with tempfile.TemporaryDirectory() as folder, WorkerPool(num_workers=2) as pool:
    print(list(pool.map(abs, [-1, -2])), pool.submit(pow, 2, 3).result(60))
    print(pool.submit(kill_the_first, folder + "/marker").result(60))
    print(type(pool.submit(int, "x").exception(60)).__name__)
print("closed")
"""
    out = run_script(_ALL_BUT_THREADS + script, timeout=90)
    assert out.splitlines() == ["[1, 2] 8", "second", "ValueError", "closed"]
