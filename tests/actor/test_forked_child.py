"""A child that user code forks ends when it is done, and takes nothing away from its parent."""

from __future__ import annotations

import pytest

from iris_actor.testing import EtcdProcess
from tests.support.processes import run_script

_PRELUDE = """
import asyncio, atexit, gc, multiprocessing, os, pickle, sys, threading, time
from concurrent.futures import TimeoutError
from iris_actor import ActorServer, EtcdResolver, FixedResolver
from iris_actor.errors import ForkedProcessError
from tests.support.forking import ended, in_child, refused

class Actor:
    def __init__(self):
        self.go_on = threading.Event()

    def pid(self):
        return os.getpid()

    def wait(self):
        self.go_on.wait(20)
        return "waited"

    def release(self):
        self.go_on.set()

    def count(self):
        for number in range(1000):
            yield number

    def fork(self, how):
        pid = os.fork()
        if pid == 0:
            return self.leave(how)
        return ended(pid)

    async def fork_async(self, how):
        pid = os.fork()
        if pid == 0:
            return self.leave(how)
        return await asyncio.to_thread(ended, pid)

    async def pid_async(self):
        await asyncio.sleep(0)
        return os.getpid()

    def fork_in_stream(self, how):
        pid = os.fork()
        if pid == 0:
            yield self.leave(how)
        else:
            yield ended(pid)

    @staticmethod
    def leave(how):
        if how == "exit":
            sys.exit(3)
        if how == "text":
            sys.exit("that was it")
        if how == "raise":
            raise RuntimeError("in the child")
        return "from the child"

    def fork_process(self):
        process = multiprocessing.get_context("fork").Process(target=sys.exit, args=(6,))
        process.start()
        process.join(15)
        return process.exitcode

    def fork_pool(self):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(abs, [-1, -2])

def served(server):
    server.register("a", Actor(), max_concurrency=4)
    server.serve_background()
    return FixedResolver({"a": server.address}, namespace="n").lookup("a")
"""

_LEAVINGS = [("sys.exit(3)", 3), ("1 / 0", 1), ("sys.exit()", 0)]


@pytest.mark.parametrize(("leave", "code"), _LEAVINGS)
@pytest.mark.parametrize("called", [False, True])
def test_a_child_that_leaves_the_with_block_of_a_server_ends_and_the_server_goes_on(
    leave: str, code: int, called: bool
) -> None:
    out = run_script(
        _PRELUDE
        + f"""
with ActorServer(namespace="n", drain_timeout=60) as server:
    pool = served(server)
    if {called}:
        assert pool.call(timeout=10).pid() == os.getpid()
    waits = pool.submit().wait() if {called} else None
    pid = os.fork()
    if pid == 0:
        {leave}
    print(ended(pid), pool.call(timeout=10).pid() == os.getpid())
    pool.call(timeout=10).release()
    print(waits is None or waits.result(10))
"""
    )
    assert out.split() == [str(code), "True", "waited" if called else "True"]


def test_a_child_that_falls_out_of_the_block_of_a_server_goes_on_behind_it() -> None:
    out = run_script(
        _PRELUDE
        + """
with ActorServer(namespace="n") as server:
    pool = served(server)
    pid = os.fork()
if pid == 0:
    print("behind the block", flush=True)
    os._exit(5)
print(ended(pid))
"""
    )
    assert out.splitlines() == ["behind the block", "5"]


def test_a_child_takes_no_registration_and_no_lease_away(etcd_url: str) -> None:
    out = run_script(
        _PRELUDE
        + """
url = sys.argv[1]
with ActorServer(url, namespace="forks") as server, EtcdResolver(url, namespace="forks") as resolver:
    server.register("a", Actor())
    server.serve_background()
    pool = resolver.lookup("a")
    pool.wait_for_size(1, 10)
    codes = []
    for leave in (
        lambda: sys.exit(3),
        lambda: (server.stop(), resolver.close(), sys.exit(4)),
        lambda: (server.drain(5), sys.exit(5)),
    ):
        pid = os.fork()
        if pid == 0:
            leave()
        codes.append(ended(pid))
    with EtcdResolver(url, namespace="forks") as fresh:
        fresh.wait_synced("a", 10)
        print(codes, len(fresh.resolve("a").endpoints), pool.call(timeout=10).pid() == os.getpid())
""",
        etcd_url,
    )
    assert out.strip() == "[3, 4, 5] 1 True"


@pytest.fixture
def etcd_url(etcd: EtcdProcess) -> str:
    return f"{etcd.url}?ttl=3"


def test_what_a_child_does_with_the_parents_server_is_refused_and_never_hangs() -> None:
    out = run_script(
        _PRELUDE
        + """
server = ActorServer(namespace="n")
pool = served(server)
print(
    refused(lambda: server.register("b", Actor())),
    refused(lambda: server.unregister("a")),
    refused(server.serve),
    refused(server.serve_background),
    refused(lambda: asyncio.run(server.wait_closed())),
    in_child(server.stop),
    in_child(lambda: 0 if server.drain(60) else 1),
)
print(pool.call(timeout=10).pid() == os.getpid())
server.stop()
"""
    )
    assert out.splitlines() == ["0 0 0 0 0 0 0", "True"]


def test_the_child_of_a_server_that_another_thread_is_about_to_change_does_not_hang() -> None:
    # The lock of the server, and those of the registry's handles, may be held at the fork.
    out = run_script(
        _PRELUDE
        + """
with ActorServer("memory://", namespace="n") as server:
    pool = served(server)
    stop = threading.Event()

    def churn():
        number = 0
        while not stop.is_set():
            number += 1
            server.register(f"b{number}", Actor())
            server.unregister(f"b{number}")

    thread = threading.Thread(target=churn)
    thread.start()
    codes = set()
    for _ in range(20):
        pid = os.fork()
        if pid == 0:
            sys.exit(3)
        codes.add(ended(pid))
    stop.set()
    thread.join()
    print(codes)
"""
    )
    assert out.strip() == "{3}"


@pytest.mark.parametrize(
    ("leave", "code"),
    [("sys.exit(3)", 3), ("1 / 0", 1), ("return", 0)],
)
def test_a_child_that_leaves_async_with_ends_and_the_parents_loop_goes_on(leave: str, code: int) -> None:
    out = run_script(
        _PRELUDE
        + f"""
me = os.getpid()

async def main():
    async with ActorServer(namespace="n") as server:
        server.register("a", Actor(), max_concurrency=4)
        pool = FixedResolver({{"a": server.address}}, namespace="n").lookup("a")
        assert await pool.acall(timeout=10).pid_async() == me
        pid = os.fork()
        if pid == 0:
            {leave}
        # Both need that other threads can wake the loop.
        print(await asyncio.to_thread(ended, pid), await pool.acall(timeout=10).pid_async() == me, flush=True)

asyncio.run(main())
""",
    )
    assert out.split() == [str(code), "True"]


@pytest.mark.parametrize("method", ["fork", "fork_async"])
def test_a_child_that_a_method_forks_ends_where_the_method_ends(method: str) -> None:
    out = run_script(
        _PRELUDE
        + f"""
with ActorServer(namespace="n") as server:
    pool = served(server)
    print([pool.call(timeout=60).{method}(how) for how in ("return", "exit", "raise", "text")])
    print(pool.call(timeout=10).pid_async() == pool.call(timeout=10).pid() == os.getpid())
"""
    )
    assert out.splitlines() == ["[0, 3, 1, 1]", "True"]


def test_a_child_that_a_generator_forks_ends() -> None:
    out = run_script(
        _PRELUDE
        + """
with ActorServer(namespace="n") as server:
    pool = served(server)
    print([list(pool.stream().fork_in_stream(how)) for how in ("return", "exit", "raise")])
"""
    )
    assert out.strip() == "[[0], [3], [1]]"


def test_a_method_uses_multiprocessing_with_fork() -> None:
    out = run_script(
        _PRELUDE
        + """
with ActorServer(namespace="n") as server:
    pool = served(server)
    print(pool.call(timeout=30).fork_process(), pool.call(timeout=60).fork_pool())
    print(pool.call(timeout=10).pid() == os.getpid())
"""
    )
    assert out.splitlines() == ["6 [1, 2]", "True"]


def test_a_child_that_a_done_callback_forks_ends() -> None:
    out = run_script(
        _PRELUDE
        + """
with ActorServer(namespace="n") as server:
    pool = served(server)
    codes = []
    def fork(how):
        def callback(_future):
            pid = os.fork()
            if pid == 0:
                return Actor.leave(how)
            codes.append(ended(pid))
            done.set()
        done = threading.Event()
        waits = pool.submit().wait()
        waits.add_done_callback(callback)
        pool.call(timeout=10).release()
        assert done.wait(20)
    for how in ("return", "exit", "raise"):
        fork(how)
    print(codes)
"""
    )
    # What a callback raises is logged and goes no further, as with every future.
    assert out.strip() == "[0, 3, 0]"


def test_what_a_child_holds_of_the_parents_calls_never_makes_it_wait() -> None:
    out = run_script(
        _PRELUDE
        + """
server = ActorServer(namespace="n")
pool = served(server)
waits = pool.submit().wait()
done = pool.submit().pid()
assert done.result(10) == os.getpid()
stream = pool.stream().count()
assert next(stream) == 0
broadcast = pool.broadcast().wait()

def read_to_the_end():
    for _ in stream:
        pass

print(
    refused(waits.result),
    refused(lambda: waits.exception(30)),
    refused(lambda: broadcast.wait_all()),
    refused(read_to_the_end),
    in_child(lambda: 1 if waits.cancel() else 0),
    in_child(stream.close),
    in_child(lambda: 0 if done.result() == os.getppid() else 1),
    refused(lambda: pickle.loads(pickle.dumps(pool)).call(timeout=5).pid()),
)
pool.call(timeout=10).release()
print(waits.result(10), len(list(stream)), [each.value for each in broadcast.wait_all(10)])
server.stop()
"""
    )
    assert out.splitlines() == ["0 0 0 0 0 0 0 0", "waited 999 ['waited']"]


def test_a_child_that_collects_what_the_parent_uses_ends_quietly_and_keeps_its_own_files() -> None:
    out = run_script(
        _PRELUDE
        + """
atexit.register(lambda: print("handler of", "parent" if os.getpid() == me else "child", flush=True))
me = os.getpid()
server = ActorServer(namespace="n")
pool = served(server)
stream = pool.stream().count()
assert next(stream) == 0
waits = pool.submit().wait()
reader, writer = os.pipe()
pid = os.fork()
if pid == 0:
    os.dup2(writer, 2)
    # Numbers that a closed socket had would be among these.
    files = [open(os.devnull, "wb", buffering=0) for _ in range(60)]
    del server, pool, stream, waits
    gc.collect()
    for file in files:
        file.write(b"it is still mine")
        file.close()
    sys.exit(3)
os.close(writer)
print(ended(pid), os.read(reader, 4096), pool.call(timeout=10).pid() == me, next(stream))
pool.call(timeout=10).release()
assert waits.result(10) == "waited"
stream.close()
server.stop()
"""
    )
    assert out.splitlines() == ["handler of child", "3 b'' True 1", "handler of parent"]
