"""SupervisedProcess: this program's end of an `supervisor`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from iris_actor.deadline import Deadline
from iris_actor.errors import RegistryError
from iris_actor.unpatched import Popen, select

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
KILL_TIMEOUT = 10.0
"""Seconds in which the kernel ends a killed process, however busy the machine is."""
STOP_TIMEOUT = 10.0
"""Seconds in which it stops one, or lets it go on."""


class SupervisedProcess:
    """A process that ends with this one. Not thread-safe.

    Args:
        command: what to run.
        log: file that its output is appended to.
        remove: folder to remove should this program end without stopping it.
        environment: its environment.
    """

    def __init__(
        self, command: Sequence[str], *, log: Path, remove: Path, environment: Mapping[str, str]
    ) -> None:
        # Where Python is embedded nobody may know its interpreter; the supervisor runs in any.
        python = sys.executable or shutil.which("python3")
        if python is None:
            raise RegistryError(
                "no Python interpreter can be found: sys.executable is empty, and PATH has none"
            )
        arguments = [str(os.getpid()), str(log), str(remove), *command]
        self.program = command[0]
        self._supervisor = Popen(
            [python, "-I", "-S", str(_SUPERVISOR), *arguments],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        self._commands = cast("IO[bytes]", self._supervisor.stdin)
        self._events = cast("IO[bytes]", self._supervisor.stdout)
        self.pid = int(self._events.readline().split()[1])

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._supervisor.poll() is None

    @property
    def events(self) -> int:
        """File descriptor that becomes readable when it ends."""
        return self._events.fileno()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        try:
            self._commands.write(f"signal {int(number)}\n".encode())
        except OSError:
            pass  # it has ended, and its supervisor with it

    def pause(self) -> None:
        """SIGSTOP, and return when every thread of it has stopped: the signal alone is not waited for.

        Raises:
            TimeoutError: that took more than `STOP_TIMEOUT` seconds.
        """
        self._send_and_see(signal.SIGSTOP, stopped=True)

    def resume(self) -> None:
        """SIGCONT, and return when it goes on.

        Raises:
            TimeoutError: that took more than `STOP_TIMEOUT` seconds.
        """
        self._send_and_see(signal.SIGCONT, stopped=False)

    def _send_and_see(self, number: signal.Signals, *, stopped: bool) -> None:
        self.send(number)
        deadline = Deadline.after(STOP_TIMEOUT)
        while self.running and self._stopped() is not stopped:
            if deadline.passed:
                raise TimeoutError(f"process {self.pid} did not obey {number.name} within {STOP_TIMEOUT} s")
            time.sleep(0.001)

    def _stopped(self) -> bool:
        try:
            threads = [stat.read_text() for stat in Path(f"/proc/{self.pid}/task").glob("*/stat")]
        except OSError:  # one that has just ended
            return False
        return all(stat.rpartition(")")[2].split()[0] == "T" for stat in threads)

    def end(self, number: signal.Signals, grace: float) -> None:
        """Send `number`, SIGKILL after `grace` seconds, and return when it has ended. Once only."""
        self.send(number)
        if number is not signal.SIGKILL:
            self.send(signal.SIGCONT)  # a paused one does not see the other signal
            if not self._ended(grace):
                self.send(signal.SIGKILL)
        self._supervisor.wait(KILL_TIMEOUT)
        self._commands.close()
        self._events.close()

    def _ended(self, timeout: float) -> bool:
        deadline = Deadline.after(timeout)
        readable, _, _ = select([self.events], [], [], deadline.timeout)
        return bool(readable)
