"""Forking, for scripts that tests run in processes of their own (`processes.run_script`)."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

PATIENCE = 15.0


def ended(pid: int) -> int | str:
    """Exit code of the child `pid`, or what it was at when it should have ended."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hangs"


def in_child(function: Callable[[], Any]) -> Any:
    """What `function` returned in a child: its exit code, which is 99 for an exception."""
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(PATIENCE - 5)
        code = 99
        try:
            code = function() or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    return ended(pid)


def refused(action: Callable[[], Any]) -> Any:
    """0 when `action` is a ForkedProcessError in a child, and at once."""
    from iris_actor.errors import ForkedProcessError

    def run() -> int:
        start = time.monotonic()
        try:
            action()
        except ForkedProcessError:
            return 0 if time.monotonic() - start < 3 else 3
        return 4

    return in_child(run)
