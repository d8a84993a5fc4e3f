"""OutputPump: what many processes write to stdout and stderr, line by line, marked with their names.

::

    worker-0 stdout ─┐
    worker-0 stderr ─┤                                       ┌─▶ driver's sys.stdout  "[worker-0] text"
    worker-1 stdout ─┼─▶ one thread, one selector, per line ─┼─▶ driver's sys.stderr  "[worker-1] text"
    worker-1 stderr ─┘                                       └─▶ the last lines of each stderr (`tail`)

Nothing is queued: what cannot be written yet is not read yet, so a worker that prints faster than the
driver's terminal takes it is slowed down by its pipe, and nobody's memory grows.

A carriage return does what it does on a terminal: what follows replaces the line. A progress bar inside a
worker hence shows as a line now and then instead of thousands, and a bar of the driver's own is taken away
while lines are written and put back afterwards.
"""

from __future__ import annotations

import os
import selectors
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

TAIL_LINES = 20
TAIL_BYTES = 8 * 1024
"""What is kept of each stderr for the error that reports the process's end."""
MAX_LINE = 64 * 1024
"""A longer line is passed on in pieces."""
REDRAW = 2.0
"""Seconds between two pictures of a line that is being overwritten."""

_READ = 64 * 1024

Sink = Callable[[str, str], None]
"""Takes the name of the stream, ``"stdout"`` or ``"stderr"``, and text that ends with a newline."""


def write_to_driver(stream: str, text: str) -> None:
    """The usual sink: the driver's own stream of that name, whatever stands in for it at the moment."""
    target: TextIO | None = getattr(sys, stream)
    if target is None:
        return
    bars = sys.modules.get("tqdm")
    # A closed or broken stream of the driver's is no reason to stop the workers.
    with suppress(OSError, ValueError):
        if bars is not None and getattr(bars.tqdm, "_instances", None):
            with bars.tqdm.external_write_mode(file=target):
                target.write(text)
        else:
            target.write(text)
        target.flush()


class _Stream:
    """One pipe: its unfinished line, and its last lines."""

    def __init__(self, fd: int, label: str, name: str, *, keep: bool) -> None:
        self.fd = fd
        self.name = name
        self.mark = f"[{label}] ".encode()
        self.partial = b""
        self.drawn_at = 0.0
        self.keep = keep
        self.tail = b""
        self.closed = threading.Event()

    def feed(self, data: bytes, *, end: bool = False) -> bytes:
        """Marked lines that `data` completes."""
        data = self.partial + data
        lines, newline, self.partial = data.rpartition(b"\n")
        text = self._marked(lines) if newline else b""
        if b"\r" in self.partial[:-1]:
            # The last state of a line that is drawn over and over; what it replaced is gone.
            self.partial = self.partial[self.partial.rstrip(b"\r").rfind(b"\r") + 1 :]
            if time.monotonic() - self.drawn_at > REDRAW:
                self.drawn_at = time.monotonic()
                text += self._marked(self.partial.strip(b"\r"))
        if self.partial and (end or len(self.partial) > MAX_LINE):
            text += self._marked(self.partial)
            self.partial = b""
        return text

    def _marked(self, lines: bytes) -> bytes:
        if b"\r" in lines:
            lines = b"\n".join(line.rstrip(b"\r").rpartition(b"\r")[2] for line in lines.split(b"\n"))
        if self.keep:
            self.tail = (self.tail + lines[-TAIL_BYTES:] + b"\n")[-TAIL_BYTES:]
        return self.mark + lines.replace(b"\n", b"\n" + self.mark) + b"\n"


class OutputPump:
    """Reads the output of processes in one thread of its own. Thread-safe."""

    def __init__(self, sink: Sink = write_to_driver) -> None:
        self._sink = sink
        self._lock = threading.Lock()  # guards _added, _thread and _closing
        self._added: list[_Stream] = []
        self._thread: threading.Thread | None = None
        self._closing = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)

    def add(self, label: str, stdout: int, stderr: int) -> Output:
        """Read the two descriptors, which are the pump's from now on, until they end."""
        streams = (
            _Stream(stdout, label, "stdout", keep=False),
            _Stream(stderr, label, "stderr", keep=True),
        )
        for stream in streams:
            os.set_blocking(stream.fd, False)
        with self._lock:
            if self._closing:
                raise RuntimeError("the output pump is closed")
            self._added.extend(streams)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="iris-output-pump", daemon=True)
                self._thread.start()
        os.write(self._wake_write, b"+")
        return Output(*streams)

    def close(self, timeout: float = 5.0) -> None:
        """Stop, after what is in the pipes has been passed on. Idempotent."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            thread = self._thread
        os.write(self._wake_write, b".")
        if thread is not None:
            thread.join(timeout)
            if thread.is_alive():  # the sink is stuck; the descriptors are still in its hands
                return
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            while True:
                closing = False
                for key, _ in selector.select():
                    if key.data is None:
                        closing = self._take_added(selector)
                    else:
                        self._read(selector, key.data)
                if closing:
                    break
            for key in list(selector.get_map().values()):
                if key.data is not None:
                    while self._read(selector, key.data):
                        pass
                    self._end(selector, key.data)

    def _take_added(self, selector: selectors.BaseSelector) -> bool:
        with suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        with self._lock:
            added, self._added = self._added, []
            closing = self._closing
        for stream in added:
            selector.register(stream.fd, selectors.EVENT_READ, stream)
        return closing

    def _read(self, selector: selectors.BaseSelector, stream: _Stream) -> bool:
        """Pass on what one read gives; False when there is nothing (yet or any more)."""
        if stream.closed.is_set():
            return False
        try:
            data = os.read(stream.fd, _READ)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._end(selector, stream)
            return False
        self._write(stream, stream.feed(data))
        return True

    def _end(self, selector: selectors.BaseSelector, stream: _Stream) -> None:
        if not stream.closed.is_set():
            self._write(stream, stream.feed(b"", end=True))
            selector.unregister(stream.fd)
            os.close(stream.fd)
            stream.closed.set()

    def _write(self, stream: _Stream, text: bytes) -> None:
        if text:
            try:
                self._sink(stream.name, text.decode(errors="replace"))
            except Exception as error:  # a user's sink must not stop the others' output
                write_to_driver("stderr", f"iris_actor: the output sink failed: {error!r}\n")


class Output:
    """The output of one process, as its launcher sees it. Thread-safe."""

    def __init__(self, stdout: _Stream, stderr: _Stream) -> None:
        self._stdout = stdout
        self._stderr = stderr

    def wait_ended(self, timeout: float) -> bool:
        """Wait until both streams ended and all of them was passed on."""
        give_up = time.monotonic() + timeout
        return self._stdout.closed.wait(timeout) and self._stderr.closed.wait(
            max(0.0, give_up - time.monotonic())
        )

    @property
    def last_words(self) -> str:
        """The last lines written to stderr."""
        lines = self._stderr.tail.decode(errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])
