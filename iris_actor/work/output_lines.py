"""OutputLines: what a process writes to one of its streams, as marked lines for a person to read.

A carriage return does what it does on a terminal: what follows replaces the line. So does going up a line,
as bars below a bar do. A progress bar inside a worker hence shows as a line now and then instead of
thousands, and nothing that a worker writes moves the cursor of the driver's terminal.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress

from iris_actor.work.log_receiver import LogReceiver, Received
from iris_actor.work.worker_logging import START

TAIL_LINES = 20
TAIL_BYTES = 8 * 1024
"""What is kept of each stderr for the error that reports the process's end."""
MAX_LINE = 256 * 1024
"""A longer line is passed on in pieces of this many bytes."""
REDRAW = 2.0
"""Seconds between two pictures of a line that is being overwritten."""

_ESCAPE = b"\x1b"
_MOVES = re.compile(rb"\x1b\[[0-9;?]*[A-HJKSTfhlsu]|\x1b[78cDEHM]")
"""Everything that moves the cursor or clears; colours stay."""
_UP = b"\x1b[A"


class OutputLines:
    """One stream: its unfinished line, and its last lines. For one thread.

    Args:
        label: the process's name.
        stderr: whether it is that stream, whose last lines are kept, and on which records of `logging` come.
    """

    def __init__(self, label: str, *, stderr: bool) -> None:
        self._mark = f"[{label}] ".encode()
        self._receiver = LogReceiver(label) if stderr else None
        self._partial = b""
        self._risen = False  # whether the cursor went up in what was cut off from the unfinished line
        self._drawn_at = 0.0
        self._undrawn = b""
        self._tail = b""

    @property
    def tail(self) -> str:
        """The last lines. Any thread may ask for them."""
        lines = self._tail.decode(errors="replace").split("\n")
        return "\n".join(lines[:-1][-TAIL_LINES:])

    def feed(self, data: bytes) -> list[bytes | Received]:
        """What `data` completes: marked lines, many at once, and records between them."""
        passed: list[bytes | Received] = []
        lines, newline, self._partial = (self._partial + data).rpartition(b"\n")
        if newline:
            if START in lines and self._receiver is not None:
                self._sort(lines, self._receiver, passed)
            else:
                self._pass_on(lines, passed)
        if b"\r" in self._partial[:-1]:
            # The last state of a line that is drawn over and over; what it replaced is gone.
            gone, _, state = self._partial.rstrip(b"\r").rpartition(b"\r")
            self._risen = self._risen or _UP in gone
            self._partial = state + self._partial[len(gone) + 1 + len(state) :]
            self._draw(_last_state(self._partial.partition(START)[0]), passed)
        while len(self._partial) > MAX_LINE:
            self._cut(passed)
        return passed

    def finish(self) -> list[bytes | Received]:
        """What is left, though no newline ended it."""
        passed: list[bytes | Received] = []
        if self._partial or self._undrawn:
            self._pass_on(self._partial or self._undrawn, passed)
        self._partial = self._undrawn = b""
        return passed

    def _sort(self, lines: bytes, receiver: LogReceiver, passed: list[bytes | Received]) -> None:
        """Tell records from text. One may stand in the midst of a line, whose rest then follows."""
        texts: list[bytes] = []
        begun = b""
        for line in lines.split(b"\n"):
            before, start, rest = line.rpartition(START)
            if start:
                # Anything else that begins like one (or a factory of records that fails) makes it text.
                with suppress(Exception):
                    received = receiver.read(rest)
                    begun += before
                    if received is not None:
                        if texts:
                            self._pass_on(b"\n".join(texts), passed)
                            texts = []
                        passed.append(received)
                        self._keep(received.text.encode(errors="replace"))
                    continue
            texts.append(begun + line)
            begun = b""
        if texts:
            self._pass_on(b"\n".join(texts), passed)
        self._partial = begun + self._partial

    def _cut(self, passed: list[bytes | Received]) -> None:
        at = MAX_LINE
        while at > MAX_LINE - 4 and self._partial[at] & 0xC0 == 0x80:
            at -= 1  # not inside a character
        self._add(self._partial[:at], passed)
        self._partial = self._partial[at:]

    def _pass_on(self, lines: bytes, passed: list[bytes | Received]) -> None:
        plain = b"\r" not in lines and _ESCAPE not in lines
        if plain and not self._risen and not self._undrawn:
            self._add(lines, passed)
            return
        for line in lines.split(b"\n"):
            state = _last_state(line)
            if self._risen or _UP in line:
                self._draw(state, passed)
            else:
                if self._undrawn:
                    self._add(self._undrawn, passed)
                    self._undrawn = b""
                self._add(state, passed)
            self._risen = False

    def _draw(self, state: bytes, passed: list[bytes | Received]) -> None:
        """Pass on a picture of a bar, if it is time for one."""
        self._undrawn = state
        now = time.monotonic()
        if now - self._drawn_at > REDRAW:
            self._drawn_at = now
            self._undrawn = b""
            self._add(state, passed)

    def _add(self, lines: bytes, passed: list[bytes | Received]) -> None:
        self._keep(lines)
        text = self._mark + lines.replace(b"\n", b"\n" + self._mark) + b"\n"
        if passed and isinstance(passed[-1], bytes):
            passed[-1] += text
        else:
            passed.append(text)

    def _keep(self, lines: bytes) -> None:
        if self._receiver is not None:
            self._tail = (self._tail + lines[-TAIL_BYTES:] + b"\n")[-TAIL_BYTES:]


def _last_state(line: bytes) -> bytes:
    state = line.rstrip(b"\r").rpartition(b"\r")[2]
    return _MOVES.sub(b"", state) if _ESCAPE in state else state
