"""The memory limit of a worker: imposed before its first task, explained to the task that meets it.

::

    ResourceSpec.memory ─▶ LocalLauncher ─(environment)─▶ room, impose ─▶ a task asks for more: MemoryError
                                                              │
                                          the I/O thread needs more: the process ends and says why

The limit is one on the private memory that the process asks for (``RLIMIT_DATA``), whether or not it is used.
What the interpreter, gRPC and the stacks of their threads had reserved before is not charged. Memory mapped
from files and shared memory are not counted. Children that a task forks inherit the limit, each for itself.
"""

from __future__ import annotations

import logging
import mmap
import os
import resource
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path

MEMORY_LIMIT = "IRIS_MEMORY_LIMIT"
"""Environment variable with the limit in bytes."""

TOO_LOW = os.EX_CONFIG
"""Exit code of a worker whose limit leaves no room for tasks."""
EXHAUSTED = os.EX_OSERR
"""Exit code of a worker that could not take in what was sent to it, or send what it had."""

NEEDED = 24_000_000
"""Bytes beyond what an idle worker takes without which it could hardly receive a task."""

_LOGGERS = ("asyncio", "grpc")
"""Who reports what goes wrong in an event loop, where there is nobody to raise it to."""
_OURS = "iris-"
"""What names of threads begin with without which the worker is of no use."""

_RESERVE = 1024 * 1024
"""Bytes put by for those who report a lack of memory: more than Python asks for at once for small objects."""


def _reserved() -> mmap.mmap:
    return mmap.mmap(-1, _RESERVE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


reserve = _reserved()
"""Memory put by. To close it is the first thing to do in an ``except`` clause that a MemoryError may come to.

When such a clause fails itself, the interpreter makes an int to note where (``exception_unwind`` in CPython's
ceval.c); if there is no memory for that either, it tries again, and goes on trying for ever, with the GIL.
`mmap.mmap.close` is C, takes no memory, and lets no other thread run before it is through.
"""

_limit: int | None = None


def in_words(size: int) -> str:
    """`size` in bytes as people write it: ``400 MB``, ``1.5 GB``."""
    number, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 999.5:
            break
        number, unit = number / 1000, larger
    return f"{number:.3g} {unit}"


def take_limit() -> int | None:
    """The limit that the launcher gave this process, in bytes; what it starts itself shall not find it."""
    text = os.environ.pop(MEMORY_LIMIT, None)
    return None if text is None else int(text)


def room(limit: int) -> int:
    """Bytes of arguments that fit below `limit`; ends this process, and says why, when it leaves no room.

    For a worker that has nothing to do yet, and is not announced.
    """
    idle = _usage()[0]
    left = limit - idle - NEEDED
    if left <= 0:
        text = f"the memory limit of {in_words(limit)} (ResourceSpec.memory) is too low"
        takes = f"an idle worker takes {in_words(idle)}, and needs {in_words(NEEDED)} more to work with"
        print(f"iris_actor: {text}: {takes}", file=sys.stderr, flush=True)
        os._exit(TOO_LOW)
    # As much again for unpickling them, and for what carries them here.
    return left // 2


def impose(limit: int) -> None:
    """Hold this process to `limit` bytes of resident memory, from now on."""
    global _limit  # noqa: PLW0603 - one a process, by nature
    exhaustion = _Exhaustion(limit)
    resident, data = _usage()
    allowed = data + max(0, limit - resident)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most != resource.RLIM_INFINITY:
        allowed = min(allowed, most)
    # The hard limit stays: a pool inside a worker may give its own workers more.
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, most))
    _limit = limit
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(exhaustion)
    sys.unraisablehook = exhaustion.on_unraisable
    threading.excepthook = exhaustion.on_thread_end


def explain(error: BaseException) -> None:
    """Have `error`, if it or what caused it is a MemoryError, say what the limit is.

    Also lets go of what the functions held through which it came, which is often what filled the memory, and
    puts some by again. The caller has closed `reserve` before.
    """
    try:
        _explain(error)
    finally:
        _put_by()


def _explain(error: BaseException) -> None:
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    if not any(isinstance(each, MemoryError) for each in chain):
        return
    for each in chain:
        traceback.clear_frames(each.__traceback__)
    if _limit is None:
        return
    text = f"the worker's memory limit is {in_words(_limit)} (ResourceSpec.memory)"
    if type(error) is MemoryError and not error.args:
        error.args = (text,)
    else:
        error.add_note(text)


def _put_by() -> None:
    global reserve  # noqa: PLW0603 - one a process
    if reserve.closed:
        with suppress(OSError, MemoryError):
            reserve = _reserved()


def reason_of_end(limit: int, exit_code: int | None, signal: str | None) -> str:
    """What a worker's limit has to do with how it ended; empty when nothing is known."""
    words = f"its memory limit of {in_words(limit)} (ResourceSpec.memory)"
    if exit_code == EXHAUSTED:
        return f"{words} left no room for receiving tasks and sending results"
    if signal in {"SIGABRT", "SIGSEGV"}:  # C++ aborts when it gets no memory, C forgets to look
        return f"{words} may have been reached"
    return ""


class _Exhaustion(logging.Handler):
    """Ends the process when an event loop, or a thread that is about to start, ran out of memory.

    What was lost there, a task or an outcome, nobody would miss: its caller would wait for ever.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._main = threading.main_thread().ident
        self._previous = sys.unraisablehook
        self._previous_of_threads = threading.excepthook
        # Made while there is memory for it.
        self._words = (
            f"iris_actor: the worker's memory limit of {in_words(limit)} (ResourceSpec.memory) left no room"
            " for receiving tasks and sending results\n"
        ).encode()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a look at `record`."""
        if record.exc_info and isinstance(record.exc_info[1], MemoryError):
            self._end()

    def on_unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        """For `sys.unraisablehook`. What a task's own finalizers lack in the main thread is their affair."""
        if unraisable.exc_type is MemoryError:
            reserve.close()  # even to ask which thread this is takes memory
            if threading.get_ident() != self._main:
                self._end()
        self._previous(unraisable)

    def on_thread_end(self, args: threading.ExceptHookArgs) -> None:
        """For `threading.excepthook`. What a task's own threads lack is their affair."""
        if args.exc_type is MemoryError:
            reserve.close()
            if args.thread is not None and args.thread.name.startswith(_OURS):
                self._end()
        self._previous_of_threads(args)

    def _end(self) -> None:
        os.write(2, self._words)
        os._exit(EXHAUSTED)


def _usage() -> tuple[int, int]:
    """Bytes that this process has in memory, and bytes that count against ``RLIMIT_DATA``."""
    sizes = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key in {"VmRSS", "VmData"}:
            sizes[key] = int(value.split()[0]) * 1024
    return sizes["VmRSS"], sizes["VmData"]
