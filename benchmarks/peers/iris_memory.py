"""The client side of the memory figures, fresh for each: `python -m ... KIND COUNT ADDRESS SERVER_PID`.

Whatever a process does once (imports, threads, the first connection) is done before the first reading. Both
sides get half a second to come to rest before each reading: RSS is what allocators have asked for and not
given back, so that a figure may be off by some hundred KiB for the whole process.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import memory
from benchmarks.processes import ROOT, ServerProcess, environment
from iris_actor import Credentials, FixedResolver

if TYPE_CHECKING:
    from collections.abc import Callable

    from iris_actor import ActorPool

REST = 0.5
"""Seconds before a reading."""
SMALL = 1 << 20
TIMEOUT = 40.0


def measure_fresh(kind: str, count: int, server_module: str) -> dict[str, int]:
    """{"client": bytes, "server": bytes} that `count` of `kind` cost a new client and a new server."""
    server = ServerProcess(server_module)
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, kind, str(count), server.address, str(server.pid)],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    finally:
        server.stop()
    if done.returncode:
        raise RuntimeError(f"a client ended: {done.stderr.strip().splitlines()[-1:]}")
    costs: dict[str, int] = json.loads(done.stdout)
    return costs


def connect(address: str, number: int) -> ActorPool[Any]:
    """A session of its own: there is one for each set of credentials. The server asks for none."""
    credentials = Credentials(token=str(number))
    pool = FixedResolver({"bench": [address]}, credentials=credentials).lookup("bench")
    if pool.call().echo(number) != number:
        raise RuntimeError("wrong reply")
    return pool


def idle_sessions(address: str, count: int) -> Callable[[], object]:
    first = connect(address, -1)
    return lambda: [first, *(connect(address, number) for number in range(count))]


def pending_calls(address: str, count: int) -> Callable[[], object]:
    pool = connect(address, -1)

    def call() -> object:
        futures = [pool.submit().rest(number) for number in range(count)]
        settle()
        if any(future.done() for future in futures):
            raise RuntimeError("a call that should be pending has ended")
        return futures

    return call


def echo(address: str, count: int) -> Callable[[], object]:
    pool = connect(address, -1)
    if len(pool.call().echo(np.ones(SMALL // 8))) != SMALL // 8:
        raise RuntimeError("wrong reply")

    def call() -> object:
        array = np.arange(count // 8)
        reply = pool.call().echo(array)
        if not np.array_equal(reply, array):
            raise RuntimeError("wrong reply")
        return reply

    return call


def growth(pids: dict[str, int], act: Callable[[], object], *, of_peak: bool) -> dict[str, int]:
    """Bytes by which each process has grown when `act` has been done, or had grown meanwhile."""
    settle()
    before = {side: memory.resident(pid) for side, pid in pids.items()}
    for pid in pids.values():
        memory.forget_peak(pid)
    held = act()
    if not of_peak:
        settle()
    read = memory.peak if of_peak else memory.resident
    after = {side: read(pid) - before[side] for side, pid in pids.items()}
    del held
    return after


def settle() -> None:
    gc.collect()
    time.sleep(REST)


def main(kind: str, count: int, address: str, server: int) -> None:
    act = {"session": idle_sessions, "call": pending_calls, "echo": echo}[kind](address, count)
    print(json.dumps(growth({"client": os.getpid(), "server": server}, act, of_peak=kind == "echo")))
    sys.stdout.flush()
    # Without an orderly end: 20,000 calls that rest would be waited for.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
