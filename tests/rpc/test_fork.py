"""Fork: gRPC does not survive it, so use in the child of a connected process is a clear error, at once."""

from __future__ import annotations

from tests.support.processes import run_script

_PRELUDE = """
import os, sys, threading, time
from iris_actor import ActorServer, FixedResolver
from iris_actor.errors import ForkedProcessError

class Echo:
    def echo(self, x):
        return x

def serve():
    server = ActorServer(namespace="test")
    server.register("echo", Echo())
    server.serve_background()
    return server, FixedResolver({"echo": server.address}, namespace="test").lookup("echo")

def in_child(function):
    '''Exit code of a child that runs `function`.'''
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = function() or 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)

def refused(action):
    def run():
        start = time.monotonic()
        try:
            action()
        except ForkedProcessError as error:
            assert error.parent_pid == os.getppid(), error
            assert "spawn" in str(error)
            return 0 if time.monotonic() - start < 2 else 3
        return 4
    return in_child(run)
"""


def test_a_child_of_a_process_that_used_iris_gets_an_error_at_once():
    out = run_script(
        _PRELUDE
        + """
server, pool = serve()
assert pool.call(timeout=10).echo(1) == 1
codes = [
    refused(lambda: pool.call().echo(1)),
    refused(lambda: pool.call(timeout=5).echo(1)),
    refused(lambda: pool.submit().echo(1).result(5)),
    refused(lambda: next(pool.stream().echo(1))),
    refused(lambda: ActorServer(namespace="test")),
    refused(lambda: FixedResolver({"echo": server.address}, namespace="test").lookup("echo").call().echo(1)),
]
assert pool.call(timeout=10).echo(2) == 2, "the parent goes on"
server.stop()
print(codes)
"""
    )
    assert out.strip() == "[0, 0, 0, 0, 0, 0]"


def test_a_child_forked_before_the_first_use_works():
    out = run_script(
        _PRELUDE
        + """
def use():
    server, pool = serve()
    assert pool.call(timeout=10).echo(7) == 7
    server.stop()

print(in_child(use), in_child(use))
server, pool = serve()
print(pool.call(timeout=10).echo(8))
server.stop()
"""
    )
    assert out.split() == ["0", "0", "8"]


def test_a_forked_child_that_does_not_use_iris_exits_normally():
    out = run_script(
        _PRELUDE
        + """
server, pool = serve()
pool.call(timeout=10).echo(1)
pid = os.fork()
if pid == 0:
    sys.exit(5)  # runs the atexit hooks too
_, status = os.waitpid(pid, 0)
assert pool.call(timeout=10).echo(2) == 2
server.stop()
print(os.waitstatus_to_exitcode(status))
"""
    )
    assert out.strip() == "5"


def test_a_spawned_child_works():
    out = run_script(
        """
import multiprocessing
from tests.support.lab import Lab
from tests.support.serving import call_echo, hosting

def main():
    with hosting(Lab()) as hosted:
        hosted.pool.call(timeout=10).echo(1)
        with multiprocessing.get_context("spawn").Pool(1) as workers:
            print(workers.apply(call_echo, (hosted.address, 7)))

main()
"""
    )
    assert out.strip() == "7"
