"""Ctrl-C in a driver: KeyboardInterrupt at once, and nothing is left behind."""

from __future__ import annotations

import signal
import time

import psutil
import pytest

from tests.support.interrupts import assert_interruptible
from tests.support.processes import ServerProcess, python, run_script
from tests.support.serving import lookup_at
from tests.support.waiting import until

_DRIVER = """
import sys, time
from tests.support.serving import lookup_at

pool = lookup_at(sys.argv[1])
blocking = {
    "call": lambda: pool.call().hold("gate"),
    "call with timeout": lambda: pool.call(timeout=60).hold("gate"),
    "result": lambda: pool.submit().hold("gate").result(),
    "stream": lambda: list(pool.stream().items_held(5, "gate", 2)),
    "wait_cancelled": lambda: pool.call().wait_cancelled("it"),
}[sys.argv[2]]
try:
    pool.call(timeout=20).count("ready")
    blocking()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.fixture(scope="module")
def server():
    with ServerProcess() as server:
        yield server


@pytest.mark.parametrize("way", ["call", "call with timeout", "result", "stream"])
def test_an_interrupt_ends_a_blocked_driver_promptly(server, way):
    pool = lookup_at(server.address)
    before = pool.call(timeout=10).counted("ready")
    driver = python("-c", _DRIVER, server.address, way)
    try:
        until(lambda: pool.call(timeout=10).counted("ready") > before)
        family = psutil.Process(driver.pid).children(recursive=True)
        start = time.monotonic()
        driver.send_signal(signal.SIGINT)
        out, _ = driver.communicate(timeout=20)
        assert time.monotonic() - start < 5
    finally:
        if driver.poll() is None:
            driver.kill()
            driver.wait(10)
    assert out.strip() == "interrupted"
    assert driver.returncode == 0
    assert not any(child.is_running() for child in family)


@pytest.mark.parametrize("way", ["call", "call with timeout", "result", "stream", "wait"])
def test_an_interrupt_between_the_last_look_and_the_wait_is_not_lost(server, way):
    pool = lookup_at(server.address)
    assert_interruptible(
        {
            "call": lambda: pool.call().hold(way),
            "call with timeout": lambda: pool.call(timeout=60).hold(way),
            "result": lambda: pool.submit().hold(way).result(timeout=60),
            "stream": lambda: list(pool.stream().items_held(5, way, 2)),
            "wait": lambda: pool.wait_for_size(2, timeout=60),
        }[way]
    )
    pool.call(timeout=10).release(way)


def test_an_interrupt_cancels_the_call_at_the_server(server):
    pool = lookup_at(server.address)
    driver = python("-c", _DRIVER, server.address, "wait_cancelled")
    try:
        until(lambda: pool.call(timeout=10).counted("it began"))
        driver.send_signal(signal.SIGINT)
        out, _ = driver.communicate(timeout=20)
    finally:
        if driver.poll() is None:
            driver.kill()
            driver.wait(10)
    assert out.strip() == "interrupted"
    until(lambda: pool.call(timeout=10).counted("it cancelled") == 1)


def test_a_driver_that_exits_with_calls_in_flight_does_not_linger(server):
    pool = lookup_at(server.address)
    source = (
        "import sys\n"
        "from tests.support.serving import lookup_at\n"
        "pool = lookup_at(sys.argv[1])\n"
        "pool.call(timeout=20).echo(1)\n"
        "futures = [pool.submit().wait_cancelled('exit') for _ in range(2)]\n"
        "pool.call(timeout=20).identify()\n"
    )
    driver = python("-c", source, server.address)
    start = time.monotonic()
    driver.communicate(timeout=20)
    assert driver.returncode == 0
    assert time.monotonic() - start < 10
    until(lambda: pool.call(timeout=10).counted("exit cancelled") == 2)


_STORM = """
import random, signal, sys, threading, time
from tests.support.serving import lookup_at

pool = lookup_at(sys.argv[1])
pool.call(timeout=20).echo(0)
over = threading.Event()
made = 0

def others():
    global made
    while not over.is_set():
        assert pool.call(timeout=20).echo(made) == made
        made += 1

def interrupt(number, frame):
    raise KeyboardInterrupt

def work():  # CPython 3.13.0 leaves a loop's jump back out of the `try` that it stands in
    for n in range(1000):
        assert pool.call(timeout=20).echo(n) == n

signal.signal(signal.SIGALRM, interrupt)
thread = threading.Thread(target=others)
thread.start()
hit = 0
end = time.monotonic() + 4
while time.monotonic() < end or hit <= 100 or made <= 100:
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 2e-3))
            work()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        hit += 1
over.set()
thread.join()
assert pool.call(timeout=10).echo("after it") == "after it"
print("survived")
"""


def test_interrupts_at_any_moment_leave_a_session_that_works_for_all_threads(server):
    assert run_script(_STORM, server.address, timeout=90) == "survived\n"


_MAPPED = """
import random, signal, time
from concurrent.futures import Future
from iris_actor.actor.mapping import map_calls

class Noted(Future):
    cancelled_by_map = False

    def cancel(self):
        self.cancelled_by_map = True
        return super().cancel()

def interrupt(number, frame):
    raise KeyboardInterrupt

def submit(item):
    future = Noted()
    future.set_result(item)
    futures.append(future)
    return future

def work():
    for result in map_calls(submit, range(2000), in_flight=8):
        taken.append(result)

signal.signal(signal.SIGALRM, interrupt)
hit = 0
end = time.monotonic() + 3
while time.monotonic() < end or hit <= 100:
    futures, taken = [], []
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 2e-3))
            work()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        hit += 1
    # One that was submitted, or taken, at the moment of the interrupt may be in nobody's hands.
    left = futures[len(taken) + 1 : -1]
    assert all(future.cancelled_by_map for future in left), "calls were left under way"
print("survived")
"""


def test_a_map_that_is_interrupted_leaves_no_call_under_way():
    assert run_script(_MAPPED, timeout=90) == "survived\n"
