"""Flight recorder: a number in memory shared by driver and worker, which survives the worker's death.

The worker writes the sequence number of the task that it is about to run, which costs it a store to memory;
the driver reads it only after a death. That tells which of the tasks that were with the worker was running
and which were merely waiting: replies cannot tell, because the last of them die with the process.
"""

from __future__ import annotations

import mmap
import os
import struct

RECORDER_FD = "IRIS_RECORDER_FD"
"""Environment variable with the number of the inherited file descriptor."""

_SIZE = 8
_NUMBER = struct.Struct("=Q")


class FlightRecorder:
    """The driver's end. Not thread-safe."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("iris-recorder")
        os.ftruncate(self.fd, _SIZE)

    def read(self) -> int:
        """The number that was last written; 0 before the first."""
        return int(_NUMBER.unpack(os.pread(self.fd, _SIZE, 0))[0])

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

    def write(self, number: int) -> None:
        """Leave `number` for whoever looks after our death."""
        _NUMBER.pack_into(self._memory, 0, number)
