"""Ctrl-C in a driver, at any moment: the pool goes on."""

from __future__ import annotations

from tests.support.processes import run_script

_STORM = """
import random, signal, threading, time
from iris_actor import WorkerPool

armed = False

def interrupt(number, frame):
    global armed
    if armed:
        armed = False
        raise KeyboardInterrupt

def work(pool):
    global armed
    while True:
        armed = True  # again, if the last one came in a __del__, where Python ignores it
        futures = [pool.submit(abs, -n) for n in range(20)]
        assert [future.result() for future in futures] == list(range(20))
        futures = [pool.submit(abs, -n) for n in range(5)]
        for future in futures:
            future.add_done_callback(id)
        futures[-1].cancel()
        assert list(pool.map(abs, range(5))) == list(range(5))

def main():
    signal.signal(signal.SIGALRM, interrupt)
    hit = 0
    with WorkerPool(num_workers=2) as pool:
        pool.wait_for_workers(timeout=30)
        end = time.monotonic() + 4
        while time.monotonic() < end:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 3e-3), 3e-3)
            try:
                work(pool)
            except KeyboardInterrupt:
                hit += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert pool.submit(abs, -5).result(20) == 5
        assert [pool.submit(abs, -n).result(20) for n in range(50)] == list(range(50))
        status = pool.status()
        assert status.workers.failed == 0 and status.broken is None, status
    print("survived", hit > 100)

if __name__ == "__main__":
    main()
"""


def test_a_pool_survives_interrupts_at_any_moment():
    assert run_script(_STORM, timeout=90) == "survived True\n"
