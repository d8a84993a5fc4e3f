"""Parent watch: ends this process, and its group, when the process that started it is gone."""

from __future__ import annotations

import os
import select
import signal
import threading

PARENT_PID = "IRIS_PARENT_PID"
"""Environment variable with the pid of the process that must not be outlived."""


def die_with_parent() -> None:
    """End with the process that the environment names, if it names one; what we start shall not find it."""
    parent = os.environ.pop(PARENT_PID, None)
    if parent is not None:
        die_with(int(parent))


def die_with(parent: int) -> None:
    """Kill this process group when `parent`, a process on this machine, is gone.

    The guardian of a local launcher does the same from outside. Two of them, because either can be held up:
    this one by code that keeps the GIL, the other by whoever kills it together with the driver.
    """
    try:
        pidfd = os.pidfd_open(parent)
    except ProcessLookupError:
        os.killpg(0, signal.SIGKILL)
        return
    except (AttributeError, OSError):
        return

    def watch() -> None:
        select.select([pidfd], [], [])
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name="iris-parent-watch", daemon=True).start()
