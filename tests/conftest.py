"""What every test gets: a real etcd, a namespace of its own, and a look at what it left behind."""

from __future__ import annotations

import signal
import threading
import time
import uuid
from collections.abc import Iterator

import psutil
import pytest

from iris_actor.testing import EtcdProcess

pytest_plugins = ["tests.support.time_limits"]

GRACE = 3.0
"""Seconds in which threads and processes that are ending anyhow may end."""
LASTING_THREADS = (
    "iris-io",  # one a process, for all sessions
    "iris-callbacks",  # one a process, for all futures
    "iris-absence",  # one a process, which finds out what there is instead of a name
    "iris-segments",  # one a process, which makes shared memory
    "iris-dispatch",  # one a process, for what main threads submit
    "asyncio_",  # the executor of a loop: of the above, or of pytest's
)
LASTING_TARGETS = (
    "_poll_wrapper",  # gRPC's own poller for asyncio, one a process
    "(_run)",  # gRPC's, of a connection that etcd's client made anew; threads of ours all have names
)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background with Ctrl-C ignored, and every process that a test starts
    # would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_TRACKER = "multiprocessing.resource_tracker"
_lasting_processes: set[psutil.Process] = set()
"""Those of the fixture `etcd`, which may begin during a test."""


@pytest.fixture(scope="session")
def etcd() -> Iterator[EtcdProcess]:
    """One real etcd for all tests; those that break it start one of their own."""
    before = set(_children())
    with EtcdProcess() as etcd:
        _lasting_processes.update(child for child in _children() if child not in before)
        yield etcd


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Fails a test that leaves threads or child processes behind.

    What fixtures of a wider scope started is there before, and is not counted.
    """
    threads = set(threading.enumerate())
    children = set(_children())
    yield
    end = time.monotonic() + GRACE
    while True:
        left_threads = [
            thread for thread in threading.enumerate() if _counts(thread) and thread not in threads
        ]
        left_children = [child for child in _children() if child not in children | _lasting_processes]
        if not left_threads and not left_children:
            return
        if time.monotonic() > end:
            break
        time.sleep(0.01)
    shown = [thread.name for thread in left_threads]
    shown += [f"process {child.pid}: {' '.join(_command(child))}" for child in left_children]
    pytest.fail("left behind: " + "; ".join(shown))


def _counts(thread: threading.Thread) -> bool:
    return not thread.name.startswith(LASTING_THREADS) and not any(
        target in thread.name for target in LASTING_TARGETS
    )


def _children() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    # multiprocessing starts one tracker in a process, and keeps it.
    return [
        child for child in children if _alive(child) and not any(_TRACKER in part for part in _command(child))
    ]


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())[:6]
    except psutil.Error:
        return ["(gone)"]
