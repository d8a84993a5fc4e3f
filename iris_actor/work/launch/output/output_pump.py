"""OutputPump: what many processes write to stdout and stderr, line by line, marked with their names.

::

    worker-0 stdout ─┐                                       ┌─▶ driver's sys.stdout  "[worker-0] text"
    worker-0 stderr ─┤                                       ├─▶ driver's sys.stderr  "[worker-0] text"
    worker-1 stdout ─┼─▶ one thread, one selector, per line ─┤
    worker-1 stderr ─┘                                       ├─▶ driver's loggers, for records of `logging`
                                                             └─▶ the last lines of each stderr (`last_words`)

Nothing is queued: what cannot be written yet is not read yet, so a worker that prints faster than the
driver's terminal takes it is slowed down by its pipe, and nobody's memory grows. A bar of the driver's own is
taken away while lines are written and put back afterwards.

What is promised: the lines of one stream arrive complete, in order, each once; records and the text of stderr
keep their order too. Between stdout and stderr, and between the output of a task and its result, there is no
order: a future may be done before the last lines of its task are there. What a process wrote before its end
has been passed on when `Output.wait_ended` returns True, and everything when `close` returns; unless
the driver's own stream takes nothing for as long as they wait.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TextIO

from iris_actor.unpatched import DefaultSelector
from iris_actor.work.launch.output.log_receiver import Received, handle
from iris_actor.work.launch.output.output_lines import OutputLines
from iris_actor.work.launch.output.progress_bars import bars_aside

_READ = 64 * 1024
_GATHER = 0.002
"""Seconds for which lines gather before the next look, when there were few; a look costs the driver time."""

Sink = Callable[[str, str], None]
"""Takes the name of the stream, ``"stdout"`` or ``"stderr"``, and text that ends with a newline."""


def write_to_driver(stream: str, text: str) -> None:
    """The usual sink: the driver's own stream of that name, whatever stands in for it at the moment."""
    target: TextIO | None = getattr(sys, stream)
    if target is None:
        return
    # A closed or broken stream of the driver's is no reason to stop the workers, nor is what it raises.
    with suppress(BaseException), bars_aside(target):
        try:
            target.write(text)
        except UnicodeEncodeError:
            encoding = target.encoding or "ascii"
            target.write(text.encode(encoding, "backslashreplace").decode(encoding))
        target.flush()


class _Stream:
    """One pipe. `closed` may be asked by any thread, the rest is the pump's."""

    def __init__(self, fd: int, label: str, name: str) -> None:
        self.fd = fd
        self.name = name
        self.lines = OutputLines(label, stderr=name == "stderr")
        self.closed = threading.Event()

    @property
    def waiting(self) -> int:
        """Bytes that can be read now."""
        count: int = struct.unpack("i", fcntl.ioctl(self.fd, termios.FIONREAD, bytes(4)))[0]
        return count


_Wish = tuple[Sequence[_Stream], threading.Event]
"""Somebody waits until what is in these streams now has been passed on."""


class _PumpThread(threading.Thread):
    """Has a `run` of its own: ipykernel 6 takes what plain threads write to the cell that started them."""

    def __init__(self, pump: Callable[[], None]) -> None:
        super().__init__(name="iris-output-pump", daemon=True)
        self._pump = pump

    def run(self) -> None:
        self._pump()


class OutputPump:
    """Reads the output of processes in one thread of its own. Thread-safe."""

    def __init__(self, sink: Sink = write_to_driver) -> None:
        self._sink = sink
        self._lock = threading.Lock()  # guards all below
        self._added: list[_Stream] = []
        self._wishes: list[_Wish] = []
        self._closing = False
        self._passed = 0  # how often something was passed on
        self._stuck_at = -1  # that number when somebody last waited in vain
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        self._thread = _PumpThread(self._run)
        self._thread.start()

    def add(self, label: str, stdout: int, stderr: int) -> Output:
        """Read the two descriptors, which are the pump's from now on, until they end."""
        streams = (_Stream(stdout, label, "stdout"), _Stream(stderr, label, "stderr"))
        for stream in streams:
            os.set_blocking(stream.fd, False)
        with self._lock:
            if self._closing:
                raise RuntimeError("the output pump is closed")
            self._added.extend(streams)
            os.write(self._wake_write, b"+")
        return Output(self, *streams)

    def close(self, timeout: float = 5.0) -> None:
        """Stop, after what is in the pipes has been passed on. Idempotent.

        Args:
            timeout: seconds without anything passed on after which the driver's stream is given up.
        """
        with self._lock:
            if self._closing:
                return
            self._closing = True
            os.write(self._wake_write, b".")
        if not self._join(self._thread, timeout):
            return  # the sink is stuck; the descriptors are still in its hands
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _join(self, thread: threading.Thread, timeout: float) -> bool:
        passed = -1
        while thread.is_alive() and passed != self._passed:
            passed = self._passed
            thread.join(timeout)
        return not thread.is_alive()

    def wait_passed_on(self, streams: Sequence[_Stream], timeout: float) -> bool:
        # Many processes may end while the driver's stream takes nothing: the first of them waits for all.
        give_up = time.monotonic() + (0.0 if self._stuck_at == self._passed else timeout)
        done = threading.Event()
        with self._lock:
            # A pump that is being closed passes everything on anyhow.
            if not self._closing:
                self._wishes.append((streams, done))
                os.write(self._wake_write, b"?")
                waits = [done]
            else:
                waits = [stream.closed for stream in streams]
        in_time = all(event.wait(max(0.0, give_up - time.monotonic())) for event in waits)
        self._stuck_at = -1 if in_time else self._passed
        return in_time

    def _run(self) -> None:
        with DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            closing = False
            while not closing:
                most = 0
                for key, _ in selector.select():
                    if key.data is None:
                        closing = self._take_notice(selector)
                    else:
                        most = max(most, self._read(selector, key.data))
                if 0 < most < _READ:
                    time.sleep(_GATHER)
            for key in list(selector.get_map().values()):
                if key.data is not None:
                    self._empty(selector, key.data)
                    self._end(selector, key.data)

    def _take_notice(self, selector: selectors.BaseSelector) -> bool:
        with suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        with self._lock:
            added, self._added = self._added, []
            wishes, self._wishes = self._wishes, []
            closing = self._closing
        for stream in added:
            selector.register(stream.fd, selectors.EVENT_READ, stream)
        for streams, done in wishes:
            for stream in streams:
                self._empty(selector, stream)
            done.set()
        return closing

    def _empty(self, selector: selectors.BaseSelector, stream: _Stream) -> None:
        """Pass on what is there now, an unfinished line too; others may go on writing."""
        left = 0 if stream.closed.is_set() else stream.waiting
        while left > 0 and (count := self._read(selector, stream, min(left, _READ))):
            left -= count
        self._pass_on(stream, stream.lines.finish())

    def _read(self, selector: selectors.BaseSelector, stream: _Stream, most: int = _READ) -> int:
        """Pass on what one read gives; 0 when there is nothing (yet or any more)."""
        if stream.closed.is_set():
            return 0
        try:
            data = os.read(stream.fd, most)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if not data:
            self._end(selector, stream)
            return 0
        self._pass_on(stream, stream.lines.feed(data))
        return len(data)

    def _end(self, selector: selectors.BaseSelector, stream: _Stream) -> None:
        if not stream.closed.is_set():
            self._pass_on(stream, stream.lines.finish())
            selector.unregister(stream.fd)
            os.close(stream.fd)
            stream.closed.set()

    def _pass_on(self, stream: _Stream, pieces: Sequence[bytes | Received]) -> None:
        for piece in pieces:
            # Code of the user's: nothing that it does may stop the output of others, not even a sys.exit().
            try:
                if isinstance(piece, Received):
                    handle(piece.record)
                else:
                    self._sink(stream.name, piece.decode(errors="replace"))
            except BaseException as error:
                what = "a logging handler" if isinstance(piece, Received) else "the output sink"
                with suppress(BaseException):  # the repr of what was raised is the user's code as well
                    write_to_driver("stderr", f"iris_actor: {what} failed: {error!r}\n")
            self._passed += 1


class Output:
    """The output of one process, as its launcher sees it. Thread-safe."""

    def __init__(self, pump: OutputPump, stdout: _Stream, stderr: _Stream) -> None:
        self._pump = pump
        self._stdout = stdout
        self._stderr = stderr

    def wait_ended(self, timeout: float) -> bool:
        """Wait until what was written to both streams before this call has been passed on.

        For a process that has ended: another one that still holds its pipes is not waited for. What it writes
        later is passed on all the same.

        Args:
            timeout: seconds for which the driver's own stream may take nothing.
        """
        return self._pump.wait_passed_on((self._stdout, self._stderr), timeout)

    @property
    def last_words(self) -> str:
        """The last lines written to stderr, records of `logging` among them as lines of text."""
        return self._stderr.lines.tail()

    def tail(self, stream: str, lines: int | None = None) -> str:
        """The last lines written to ``"stdout"`` or ``"stderr"``: at most `lines`, or all that are kept."""
        return (self._stdout if stream == "stdout" else self._stderr).lines.tail(lines)
