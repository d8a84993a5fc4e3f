"""A program in a terminal of its own, as a person would run it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from types import TracebackType
from typing import Self

from tests.support.processes import ROOT

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_HOME = "\x1b[H"
# The terminal becomes the one that controls the program, so that a Ctrl-C typed there is a SIGINT.
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """Runs ``iris-actor`` with `arguments`; whatever is left of it is killed in the end.

    Args:
        arguments: of the command.
        columns: how wide the terminal is.
        lines: how high it is.
    """

    def __init__(self, *arguments: str, columns: int = 120, lines: int = 40) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
        for size in ("COLUMNS", "LINES"):
            environment.pop(size, None)
        command = [sys.executable, "-m", "iris_actor.cli", *arguments]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *command],
            cwd=ROOT,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env=environment,
        )
        os.close(slave)
        self._written = bytearray()
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # nobody has the other end open any more
                return
            if not data:
                return
            self._written += data

    @property
    def raw(self) -> str:
        """All that was written, control sequences included."""
        return bytes(self._written).decode(errors="replace")

    @property
    def text(self) -> str:
        """All that was written."""
        return _CONTROL.sub("", self.raw)

    @property
    def frames(self) -> list[str]:
        """What was written each time from the upper left corner on, whole frames only."""
        return [_CONTROL.sub("", frame) for frame in self.raw.split(_HOME)[1:-1]]

    def press(self, keys: bytes) -> None:
        """Type `keys`."""
        os.write(self._master, keys)

    def wait(self, timeout: float = 20) -> int:
        """The program's exit code, once it has ended and all that it wrote is here."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def close(self) -> None:
        """End the program."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.wait()
        os.close(self._master)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()
