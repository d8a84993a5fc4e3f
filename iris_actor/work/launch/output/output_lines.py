"""OutputLines: what a process writes to one of its streams, as marked lines for a person to read.

A carriage return does what it does on a terminal: what follows replaces the line. So does going up a line,
as bars below a bar do. A progress bar inside a worker hence shows as a line now and then instead of
thousands, and nothing that a worker writes moves the cursor of the driver's terminal.
"""

from __future__ import annotations

import re
import time

from iris_actor.work.launch.output.log_receiver import LogReceiver, Received
from iris_actor.work.process.log_sender import LINE, NOTE, START

TAIL_LINES = 20
TAIL_BYTES = 8 * 1024
"""What is kept of each stream, for the error that reports the process's end and for `Launch.logs`."""
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
        stderr: whether it is that stream, on which records of `logging` come.
    """

    def __init__(self, label: str, *, stderr: bool) -> None:
        self._mark = f"[{label}] ".encode()
        self._receiver = LogReceiver(label) if stderr else None
        self._partial = b""
        self._risen = False  # whether the cursor went up in what was cut off from the unfinished line
        self._drawn_at = 0.0
        self._undrawn = b""
        self._tail = b""

    def tail(self, most: int | None = None) -> str:
        """The last lines, at most so many of those that are kept. Any thread may ask for them."""
        lines = self._tail.decode(errors="replace").split("\n")
        count = TAIL_LINES if most is None else min(most, TAIL_LINES)
        return "\n".join(lines[:-1][-count:]) if count > 0 else ""

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
            picture = _last_state(self._partial.partition(START)[0])
            if self._may_draw(picture):
                self._add([picture], passed)
        while len(self._partial) > MAX_LINE:
            self._cut(passed)
        return passed

    def finish(self) -> list[bytes | Received]:
        """What is left, though no newline ended it."""
        passed: list[bytes | Received] = []
        rest = [line for line in (self._undrawn, _last_state(self._partial)) if line.strip()]
        self._partial = self._undrawn = b""
        self._risen = False
        self._add(rest, passed)
        return passed

    def _sort(self, lines: bytes, receiver: LogReceiver, passed: list[bytes | Received]) -> None:
        """Tell records from text. One may stand in the midst of a line, whose rest then follows."""
        texts: list[bytes] = []
        begun = b""
        for line in lines.split(b"\n"):
            before, start, rest = line.rpartition(START)
            if start and rest.startswith(NOTE):
                begun += before
                self._keep(rest[len(NOTE) :])
                continue
            try:
                received = receiver.read(rest) if start else None
            except BaseException:  # it is something else (or the user's factory of records failed)
                start = b""
            if not start:
                texts.append(begun + line)
                begun = b""
                continue
            begun += before
            if received is not None:
                if texts:
                    self._pass_on(b"\n".join(texts), passed)
                    texts = []
                passed.append(received)
                self._keep(received.text.encode(errors="replace"))
        if texts:
            self._pass_on(b"\n".join(texts), passed)
        self._partial = begun + self._partial

    def _cut(self, passed: list[bytes | Received]) -> None:
        at = self._partial.rfind(START, MAX_LINE - LINE, MAX_LINE)
        if at < 0:  # no record that may still be on its way
            at = MAX_LINE
            while at > MAX_LINE - 4 and self._partial[at] & 0xC0 == 0x80:
                at -= 1  # not inside a character
        self._add([self._partial[:at]], passed)
        self._partial = self._partial[at:]

    def _pass_on(self, lines: bytes, passed: list[bytes | Received]) -> None:
        moving = b"\r" in lines or _ESCAPE in lines
        if not (moving or self._risen or self._undrawn):
            self._add([lines], passed)
            return
        shown: list[bytes] = []
        for line in lines.split(b"\n"):
            state = _last_state(line)
            if self._risen or _UP in line:
                # A line that was drawn again and again from below: not each state of it.
                self._risen = False
                if self._may_draw(state):
                    shown.append(state)
                    state = b""
                self._undrawn = state
                continue
            if self._undrawn.strip():
                shown.append(self._undrawn)
            self._undrawn = b""
            shown.append(state)
        self._add(shown, passed)

    def _may_draw(self, picture: bytes) -> bool:
        now = time.monotonic()
        due = bool(picture.strip()) and now - self._drawn_at > REDRAW
        if due:
            self._drawn_at = now
        return due

    def _add(self, lines: list[bytes], passed: list[bytes | Received]) -> None:
        if lines:
            text = b"\n".join(lines)
            self._keep(text)
            passed.append(self._mark + text.replace(b"\n", b"\n" + self._mark) + b"\n")

    def _keep(self, lines: bytes) -> None:
        self._tail = (self._tail + lines[-TAIL_BYTES:] + b"\n")[-TAIL_BYTES:]


def _last_state(line: bytes) -> bytes:
    state = line.rstrip(b"\r").rpartition(b"\r")[2]
    return _MOVES.sub(b"", state) if _ESCAPE in state else state
