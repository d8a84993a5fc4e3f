"""Children that a driver, or a task, forks: they end, and take neither workers nor results away."""

from __future__ import annotations

import pytest

from tests.support.processes import run_script

_PRELUDE = """
import functools, gc, os, signal, sys, threading, time
from iris_actor import IrisClient, LocalLauncher, WorkerPool
from iris_actor.testing import EtcdProcess
from tests.support.forking import ended, in_child, refused

def pid_of_worker():
    return os.getpid()

def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)
    return "waited"

def fork_in_task(how):
    pid = os.fork()
    if pid == 0:
        if how == "exit":
            sys.exit(3)
        if how == "raise":
            raise RuntimeError("in the child")
        return "from the child"
    return ended(pid), os.getpid()
"""


@pytest.mark.parametrize(("leave", "code"), [("sys.exit(3)", 3), ("1 / 0", 1)])
def test_a_child_that_leaves_the_blocks_of_client_launcher_and_pool_ends_and_they_go_on(
    leave: str, code: int
) -> None:
    out = run_script(
        _PRELUDE
        + f"""
with LocalLauncher() as launcher, IrisClient.local(launcher=launcher) as client:
    with WorkerPool(client, num_workers=1) as pool:
        worker = pool.submit(pid_of_worker).result(60)
        pid = os.fork()
        if pid == 0:
            {leave}
        print(ended(pid), pool.submit(pid_of_worker).result(60) == worker)
        print(refused(lambda: client.resolver), refused(lambda: client.launcher), in_child(launcher.close))
        print(pool.submit(pid_of_worker).result(60) == worker)
""",
        timeout=90,
    )
    assert out.splitlines() == [f"{code} True", "0 0 0", "True"]


def test_what_a_child_holds_of_the_pool_never_makes_it_wait(tmp_path: object) -> None:
    out = run_script(
        _PRELUDE
        + """
path = sys.argv[1]
with WorkerPool(num_workers=1) as pool:
    done = pool.submit(abs, -1)
    assert done.result(60) == 1
    waits = pool.submit(wait_for, path)
    unread = pool.map(abs, range(-1000, 0))
    begun = pool.map(functools.partial(pow, 2), range(10), buffersize=2)
    items = [unread, begun]

    def drop():
        items.clear()
        globals().pop("unread")
        globals().pop("begun")
        gc.collect()

    print(
        refused(waits.result),
        refused(lambda: waits.result(30)),
        refused(lambda: next(unread)),
        in_child(lambda: 1 if waits.cancel() else 0),
        in_child(lambda: 1 if waits.cancel(kill=True) else 0),
        in_child(lambda: done.result() - 1),
        in_child(begun.close),
        in_child(drop),
        in_child(pool.shutdown),
        in_child(pool.kill),
        refused(lambda: pool.submit(abs, 1)),
    )
    open(path, "w").close()
    print(waits.result(60), sum(unread), list(begun)[-1])
""",
        f"{tmp_path}/go",
        timeout=90,
    )
    assert out.splitlines() == ["0 0 0 0 0 0 0 0 0 0 0", "waited 500500 512"]


def test_a_future_of_a_pool_that_has_only_begun_is_refused_in_a_child() -> None:
    out = run_script(
        _PRELUDE
        + """
with WorkerPool(num_workers=1) as pool:
    waits = pool.submit(abs, -1)
    print(refused(waits.result))
    print(waits.result(60))
""",
        timeout=60,
    )
    assert out.split() == ["0", "1"]


def test_a_child_that_a_task_forks_ends_where_the_task_ends_and_reports_nothing() -> None:
    out = run_script(
        _PRELUDE
        + """
with WorkerPool(num_workers=1) as pool:
    ends = [pool.submit(fork_in_task, how).result(60) for how in ("return", "exit", "raise")]
    workers = {pid for _, pid in ends} | {pool.submit(pid_of_worker).result(60)}
    print([code for code, _ in ends], len(workers))
""",
        timeout=60,
    )
    assert out.strip() == "[0, 3, 1] 1"
