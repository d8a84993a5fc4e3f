"""GuardianProcess: the launcher's end of its guardian, the process that kills what a dead driver leaves."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

from iris_actor.threads.after_fork import ForkStage, at_fork
from iris_actor.unpatched import Popen
from iris_actor.work.launch.local.guardian import SWEEP


class GuardianProcess:
    """Starts the guardian with the first process, and tells it which groups there are. Not thread-safe.

    Args:
        marker: stands in the environment of every process that is to be killed.
    """

    def __init__(self, marker: str) -> None:
        self._marker = marker
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, python: str) -> None:
        """Start it, unless it was started before.

        Args:
            python: path of an interpreter.

        Raises:
            OSError: it cannot be started.
        """
        if self._process is None:
            script = Path(__file__).with_name("guardian.py")
            self._process = Popen(
                [python, "-I", "-S", str(script), str(os.getpid()), self._marker],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
            _guardians.add(self)

    def add(self, group: int) -> None:
        """A process group is there."""
        self._tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        """A process group has ended."""
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            # A guardian that somebody killed is no reason to stop: replicas also watch their parent.
            with suppress(OSError, ValueError):
                self._process.stdin.write(line.encode())

    def close(self) -> None:
        """Have it kill what is left, and wait for its end, for a bounded time."""
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(2 * SWEEP)
        _guardians.discard(self)

    def release_in_child(self) -> None:
        """In a forked child: let go of the pipe whose end tells the guardian that the driver is gone."""
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
            process.returncode = 0  # it is not the child's to wait for


_guardians: WeakSet[GuardianProcess] = WeakSet()


def _release_in_child() -> None:
    for guardian in list(_guardians):
        guardian.release_in_child()
    _guardians.clear()


at_fork(ForkStage.HELD, in_child=_release_in_child)
