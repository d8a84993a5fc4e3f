"""SerialThread: what it is handed runs in order, whatever happens to what came before."""

from __future__ import annotations

import os
import threading

import pytest

from iris_actor.rpc.serial_thread import SerialThread
from tests.support.processes import run_script


@pytest.fixture(scope="module")
def thread() -> SerialThread:
    return SerialThread("asyncio_serial")  # a name that may stay when the test is over


def test_many_threads_start_one_and_each_ones_order_is_kept(thread: SerialThread) -> None:
    ran: list[tuple[int, int]] = []
    idents: set[int] = set()
    barrier = threading.Barrier(8)

    def hand_over(source: int) -> None:
        barrier.wait(10)
        for number in range(200):
            thread.run(
                lambda number=number: (ran.append((source, number)), idents.add(threading.get_ident()))
            )

    sources = [threading.Thread(target=hand_over, args=(source,)) for source in range(8)]
    for each in sources:
        each.start()
    for each in sources:
        each.join(10)
    done = threading.Event()
    thread.run(done.set)
    assert done.wait(10)
    assert len(idents) == 1
    assert [[n for s, n in ran if s == source] for source in range(8)] == [list(range(200))] * 8


def test_it_knows_whether_the_caller_runs_in_it(thread: SerialThread) -> None:
    seen: list[bool] = []
    done = threading.Event()
    thread.run(lambda: (seen.append(thread.is_current()), done.set()))
    assert done.wait(10)
    assert (seen, thread.is_current()) == ([True], False)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), KeyboardInterrupt()])
def test_what_raises_is_logged_and_the_next_one_runs(
    thread: SerialThread, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise error

    done = threading.Event()
    thread.run(fail)
    thread.run(done.set)
    assert done.wait(10)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is error


_FORK = """
import os, threading
from iris_actor.rpc.serial_thread import SerialThread

thread = SerialThread("serial")
begun, gate = threading.Event(), threading.Event()
thread.run(lambda: (begun.set(), gate.wait()))
begun.wait()
thread.run(lambda: print("the parent's", flush=True))
child = os.fork()
if child == 0:
    done = threading.Event()
    thread.run(done.set)
    os._exit(0 if done.wait(10) else 1)
print("child", os.waitpid(child, 0)[1], flush=True)
gate.set()
done = threading.Event()
thread.run(done.set)
done.wait(10)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_begins_with_an_empty_one() -> None:
    assert run_script(_FORK, timeout=30) == "child 0\nthe parent's\n"
