"""Witness: a small parent of a process, which outlives it and says in its log what it was at when it ended.

::

    launcher ─▶ witness (waits) ── fork ─▶ process (loads everything, runs tasks)
                   │    ▲                     │ notes what it is at
                   │    └── shared memory ◀───┘ (flight recorder)
                   └─ its end: a line on stderr, the same exit code or signal

For launchers that share no memory with the driver. A reply, or a note over the connection, may die with the
process: another thread is still to send it. To wait until the driver has the note would cost each task a
round trip. The witness is on the process's own machine, shares its memory, and has nothing to do but to wait.
Every engine keeps what a process writes to stderr, and hands it over after the end. So a note costs a store
to memory for each task, and a line for each death.

This module is imported before the fork, and so imports nothing that starts a thread or takes long.
"""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress

from iris_actor.work.process.flight_recorder import RECORDER_FD, FlightRecorder, Recording
from iris_actor.work.process.log_sender import NOTE, START
from iris_actor.work.process.parent_watch import die_with

_NOTE = "last note of the process: task {}, since {!r}, {}"
_FOUND = re.compile(
    # Whoever splits text into lines may have taken away what marks it as no text.
    r"^(?:\x1e?!)?last note of the process: task (\d+), since ([\d.e+-]+), (begun|not begun)$",
    re.MULTILINE,
)
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def note_line(recording: Recording) -> bytes:
    """The line that a witness writes. The driver's streams do not show it."""
    text = _NOTE.format(recording.seq, recording.since, "begun" if recording.begun else "not begun")
    return START + NOTE + text.encode() + b"\n"


def find_note(text: str) -> Recording | None:
    """What the last line of a witness in `text` says; None when there is none."""
    found = _FOUND.findall(text)
    if not found:
        return None
    seq, since, begun = found[-1]
    return Recording(int(seq), float(since), begun == "begun")


def without_notes(text: str) -> str:
    """`text` without the lines of witnesses."""
    lines = text.split("\n")
    return "\n".join(line for line in lines if not _FOUND.match(line)) if _FOUND.search(text) else text


def continue_with_witness() -> None:
    """Fork. The child returns, and is the process from now on. The parent is its witness, and never returns.

    Call it before there are threads, in the main thread.
    """
    recorder = FlightRecorder()
    # A signal that comes before the child's pid is known waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
    witness = os.getpid()
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
        os.environ[RECORDER_FD] = str(recorder.fd)
        die_with(witness)
        return
    for number in _FORWARDED:
        signal.signal(number, lambda number, _frame: _forward(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
    _, status = os.waitpid(child, 0)
    recording = recorder.read()
    if status or recording.seq:
        with suppress(OSError):  # nobody reads it any more
            os.write(2, note_line(recording))
    _end_like(status)


def _forward(child: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(child, number)


def _end_like(status: int) -> None:
    """End as the child did, without what the interpreter does at its end."""
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number:
        with suppress(OSError, ValueError):
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the child has left one, if anybody wants it
            if number != signal.SIGKILL:
                signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if not number else 128 + number)
