"""Run a command that ends in every case, and takes with it whatever it started.

    python scripts/within.py SECONDS COMMAND [ARGUMENT...]

Over its time, the command and its children get SIGABRT, at which a Python process that has faulthandler on
(as pytest has) prints the stacks of all threads. Then everything is killed, and the exit code is 124.

What the command leaves behind when it ends by itself is killed as well: an orphan that holds the pipe of
`make test | tee log` would keep the reader waiting.

`timeout` of coreutils does neither, and puts the command in a group of its own, which Ctrl-C does not reach.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
OVERTIME = 124
"""Exit code when the time was over, as `timeout` has it."""
STACKS = 5.0
"""Seconds that processes have to print their stacks."""


class _EndError(Exception):
    """The time is over, or somebody wants an end."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def main() -> int:
    """The exit code of the command."""
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    seconds, command = float(sys.argv[1]), sys.argv[2:]
    # Orphans become children of this process instead of init's.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # Ctrl-C reaches the command too, and it decides. Not SIG_IGN, which the command would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, _end(128 + signal.SIGTERM))
    signal.signal(signal.SIGALRM, _end(OVERTIME))
    try:
        process = subprocess.Popen(command)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        return _wait(process.pid)
    except _EndError as over:
        if over.code == OVERTIME:
            print(f"\n{' '.join(command)}: not done within {seconds:g} s", file=sys.stderr, flush=True)
            _show_stacks(process.pid)
        return over.code
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _kill_all()


def _end(code: int):  # noqa: ANN202 - a signal handler
    def handler(*_: object) -> None:
        raise _EndError(code)

    return handler


def _wait(pid: int) -> int:
    """The exit code of child `pid`; reaps orphans meanwhile."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _show_stacks(pid: int) -> None:
    for wanted in [pid, *_children(pid)]:
        _send(wanted, signal.SIGABRT)
    end = time.monotonic() + STACKS
    while time.monotonic() < end and _reap():
        time.sleep(0.05)


def _kill_all() -> None:
    while _reap():
        for child in _descendants(os.getpid()):
            _send(child, signal.SIGKILL)
        time.sleep(0.01)


def _reap() -> bool:
    """Whether there are children left that have not ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, tasks.read_text().split())
        except OSError:  # the thread has ended
            continue
    return found


def _descendants(pid: int) -> Iterator[int]:
    for child in _children(pid):
        yield child
        yield from _descendants(child)


if __name__ == "__main__":
    sys.exit(main())
