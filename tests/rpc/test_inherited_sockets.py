"""A forked child lets go of the sockets of the process that forked it: who was killed is dead."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil
import pytest

from iris_actor import EtcdResolver
from iris_actor.errors import ConnectionLostError
from iris_actor.testing import EtcdProcess
from tests.support.processes import python, run_script
from tests.support.serving import lookup_at
from tests.support.waiting import Stopwatch, until

_SERVER = """
import multiprocessing, os, socket, sys, threading, time
from iris_actor import ActorServer

class Actor:
    def pid(self):
        return os.getpid()

    def wait(self):
        threading.Event().wait()

    def fork(self):
        child = multiprocessing.get_context("fork").Process(target=threading.Event().wait)
        child.start()
        return child.pid

registry, port = sys.argv[1:]
with ActorServer(registry or None, namespace="test", port=int(port)) as server:
    server.register("actor", Actor(), max_concurrency=8)
    server.serve_background()
    print(server.address, flush=True)
    server.serve()
"""


class Server:
    """A process with an actor that forks a child, which lives on when the process is killed."""

    def __init__(self, registry: str = "", port: int = 0, env: dict[str, str] | None = None) -> None:
        self.process: Popen[str] = python("-c", _SERVER, registry, str(port), env=env or {})
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        self.children: list[int] = []

    def fork(self) -> int:
        self.children.append(lookup_at(self.address).call(timeout=20).fork())
        return self.children[-1]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def close(self) -> None:
        for child in self.children:
            os.kill(child, signal.SIGKILL)
        self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def serving(*args: Any, **kwargs: Any) -> Iterator[Server]:
    server = Server(*args, **kwargs)
    try:
        yield server
    finally:
        server.close()


def sockets(pid: int) -> set[str]:
    """The sockets that a process has open."""
    links = set()
    for number in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.add(str(number.readlink()))
        except FileNotFoundError:
            continue
    return {link for link in links if link.startswith("socket:")}


def connections(pid: int) -> int:
    """How many connections a process has. A socket that is only not closed yet (gRPC 1.60) is none."""
    found = psutil.Process(pid).net_connections(kind="all")
    return sum(each.family == socket.AF_UNIX or each.status == psutil.CONN_ESTABLISHED for each in found)


@pytest.fixture(params=["lane", "grpc"])
def env(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """With lanes, and with gRPC alone, on both sides."""
    chosen = {"IRIS_LANE": "off" if request.param == "grpc" else "on"}
    monkeypatch.setenv("IRIS_LANE", chosen["IRIS_LANE"])
    return chosen


def test_a_killed_server_is_dead_though_a_child_of_it_lives(env: dict[str, str]) -> None:
    with serving(env=env) as server:
        pool = lookup_at(server.address, resolve_timeout=1)
        waits = pool.submit().wait()
        child = server.fork()
        watch = Stopwatch()
        server.kill()
        with pytest.raises(ConnectionLostError):
            waits.result(10)
        with pytest.raises(ConnectionError):
            pool.call(timeout=10).pid()
        assert watch.seconds < 8
        assert Path(f"/proc/{child}").exists()


def test_the_port_of_a_killed_server_can_be_bound_though_a_child_of_it_lives() -> None:
    with serving() as server:
        server.fork()
        server.kill()
        with serving(port=int(server.address.rpartition(":")[2])) as again:
            assert again.address == server.address
            assert lookup_at(again.address).call(timeout=20).pid() == again.process.pid


def test_calls_go_to_another_endpoint_at_once_when_a_server_with_a_child_was_killed(
    etcd: EtcdProcess, namespace: str
) -> None:
    url = f"{etcd.url}/{namespace}?ttl=30"
    with EtcdResolver(url, namespace="test") as resolver, serving(url) as dead, serving(url) as other:
        pool = resolver.lookup("actor")
        pool.wait_for_size(2, 20)
        until(lambda: len({pool.call(timeout=20).pid() for _ in range(4)}) == 2)
        dead.fork()
        dead.kill()
        watch = Stopwatch()
        pids = [pool.call(timeout=20, idempotent=True).pid() for _ in range(8)]
        assert set(pids) == {other.process.pid}
        assert watch.seconds < 10


def test_a_killed_caller_is_dead_for_its_server_though_a_child_of_it_lives(env: dict[str, str]) -> None:
    caller_source = """
import multiprocessing, sys, threading
from tests.support.serving import lookup_at
pool = lookup_at(sys.argv[1])
pool.call(timeout=20).pid()
child = multiprocessing.get_context("fork").Process(target=threading.Event().wait)
child.start()
print(child.pid, flush=True)
threading.Event().wait()
"""
    with serving(env=env) as server:
        lookup_at(server.address).call(timeout=20).pid()
        before = until(lambda: connections(server.process.pid))
        caller = python("-c", caller_source, server.address, env=env)
        assert caller.stdout is not None
        child = int(caller.stdout.readline())
        try:
            assert connections(server.process.pid) > before
            caller.kill()
            caller.wait(10)
            # The server's ends of its connections are closed with the caller's, and not by a timeout.
            until(lambda: connections(server.process.pid) == before, timeout=5)
        finally:
            os.kill(child, signal.SIGKILL)
            caller.stdout.close()


def test_a_child_has_no_socket_in_common_with_its_parent_but_the_users(
    etcd: EtcdProcess, namespace: str
) -> None:
    out = run_script(
        """
import os, socket, sys, time
from iris_actor import ActorServer, EtcdResolver
from tests.support.lab import Lab
from tests.support.forking import in_child

url, etcd_port = sys.argv[1], int(sys.argv[2])

def sockets():
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if link.startswith("socket:"):
            found[int(number)] = link
    return found

before = set(sockets().values())
with ActorServer(url, namespace="n") as server, EtcdResolver(url, namespace="n") as resolver:
    server.register("actor", Lab())
    port = server.serve_background()
    assert resolver.lookup("actor").call(timeout=20).echo(1) == 1
    # The user's own: to our server, to the etcd, a listener, a pair, and a datagram socket.
    mine = [
        socket.create_connection(("127.0.0.1", port)),
        socket.create_connection(("127.0.0.1", etcd_port)),
        socket.create_server(("127.0.0.1", 0)),
        *socket.socketpair(),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    ]
    parents = sockets()

    def child():
        kept = {link for number, link in sockets().items() if link in parents.values()}
        wanted = {parents[each.fileno()] for each in mine}
        # asyncio's and uvloop's own pairs wake loops in this process only, and connect to nobody.
        internal = {link for number, link in parents.items() if link in kept and is_pair(number)}
        if not wanted <= kept:
            return 10
        return len(kept - wanted - internal)

    def is_pair(number):
        try:
            return socket.socket(fileno=os.dup(number)).family == socket.AF_UNIX
        except OSError:
            return False

    print(in_child(child), in_child(lambda: 0 if all(each.fileno() >= 0 for each in mine) else 1))
    assert resolver.lookup("actor").call(timeout=20).echo(2) == 2
    mine[3].send(b"x")
    assert mine[4].recv(1) == b"x"
    for each in mine:
        each.close()
""",
        f"{etcd.url}/{namespace}",
        str(etcd.port),
    )
    assert out.split() == ["0", "0"]


def test_a_fork_with_many_open_files_stays_cheap() -> None:
    out = run_script(
        """
import os, resource, time
from iris_actor import ActorServer, FixedResolver
from tests.support.forking import in_child, ended
from tests.support.lab import Lab

resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

def fastest():
    took = []
    for _ in range(5):
        start = time.perf_counter()
        ended_at = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(ended_at[1], b"x")
            os._exit(0)
        os.read(ended_at[0], 1)
        took.append(time.perf_counter() - start)
        os.waitpid(pid, 0)
        os.close(ended_at[0])
        os.close(ended_at[1])
    return min(took)

files = [open(os.devnull) for _ in range(3000)]
bare = fastest()
with ActorServer(namespace="n") as server:
    server.register("actor", Lab())
    server.serve_background()
    pool = FixedResolver({"actor": server.address}, namespace="n").lookup("actor")
    assert pool.call(timeout=20).echo(1) == 1
    print(fastest() - bare < 0.5)
""",
    )
    assert out.strip() == "True"
