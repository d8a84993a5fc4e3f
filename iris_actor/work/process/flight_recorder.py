"""Flight recorder: a few bytes of memory shared by driver and worker, which survive the worker's death.

The worker writes the sequence number of the task that it is about to run, and when that was, which costs it
a store to memory. After a death that tells which of the tasks that were with the worker was running and which
were merely waiting: replies cannot tell, because the last of them die with the process. While the worker
lives it tells how long a task has been running, also when the worker is too busy to answer.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import NamedTuple

RECORDER_FD = "IRIS_RECORDER_FD"
"""Environment variable with the number of the inherited file descriptor."""

_RECORD = struct.Struct("=Qd?")
_SIZE = _RECORD.size
_READS = 8


class Recording(NamedTuple):
    """What a worker noted last.

    Attributes:
        seq: number of the task that it is at, or was.
        since: when it came to it, on the monotonic clock.
        begun: whether the task itself runs since then. Before that its function and its arguments are
            rebuilt, for which modules may have to be imported.
    """

    seq: int
    since: float
    begun: bool


class FlightRecorder:
    """The driver's end. Not thread-safe."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("iris-recorder")
        os.ftruncate(self.fd, _SIZE)

    def read(self) -> Recording:
        """What was last written; task 0 before the first."""
        data = os.pread(self.fd, _SIZE, 0)
        # A store may be seen half done. A worker whose tasks change faster than we read has none that is old.
        for _ in range(_READS):
            again = os.pread(self.fd, _SIZE, 0)
            if again == data:
                break
            data = again
        return Recording(*_RECORD.unpack(data))

    def close(self) -> None:
        """Give the memory back. Idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class RecorderPen:
    """The worker's end; without a recorder it writes to memory of its own."""

    def __init__(self, fd: int | None) -> None:
        # mmap duplicates the descriptor, so ours can be closed: the worker's children shall not inherit it.
        self._memory = mmap.mmap(-1 if fd is None else fd, _SIZE)
        if fd is not None:
            os.close(fd)

    @classmethod
    def from_environment(cls) -> RecorderPen:
        """The pen of the recorder that the launcher announced, if it did."""
        text = os.environ.pop(RECORDER_FD, None)
        return cls(None if text is None else int(text))

    def write(self, seq: int, since: float, *, begun: bool) -> None:
        """Leave a `Recording` for whoever looks."""
        _RECORD.pack_into(self._memory, 0, seq, since, begun)
