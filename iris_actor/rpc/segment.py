"""Segment: memory that two processes of one host share, and where the parts of a body stand in it.

It is a file without a name (memfd_create), whose descriptor travels over a lane: it needs no /dev/shm, is
reached from another container as far as the lane is, and the kernel frees it when the last process that has
it mapped unmaps it or dies, however it dies.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress

from iris_actor.rpc.limits import MIB
from iris_actor.rpc.switch import is_on
from iris_actor.unpatched import close

SWITCH = "IRIS_ARENA"
"""Environment variable; "off" has large bodies travel through the lane, as small ones do."""
GRAIN = 64
"""Bytes of which each part's offset is a multiple: what vector instructions like best."""
_POPULATE_WRITE = 23
"""MADV_POPULATE_WRITE of Linux 5.14; mmap(2) names it, Python's mmap does not yet."""
_PIECE = MIB
"""Bytes that are made at once, with the GIL held."""


_switched_off = False


def switch_off() -> None:
    """Have sessions that begin from now on do without."""
    global _switched_off  # noqa: PLW0603 - one a process
    _switched_off = True


def segments_are_on() -> bool:
    """Whether sessions that begin now share memory with peers."""
    return sys.platform == "linux" and is_on(SWITCH) and not _switched_off


def layout(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Where parts of these sizes begin in a segment, and how many bytes they take in all."""
    offsets = []
    end = 0
    for size in sizes:
        offsets.append(end)
        end += -(-size // GRAIN) * GRAIN
    return offsets, end


class Segment:
    """Shared memory, mapped. Made by its owner with `create`, by the other side with `of`.

    Attributes:
        number: as its owner counts.
        size: in bytes.
        fd: its file descriptor, closed with the segment.
        map: its memory.
    """

    def __init__(self, number: int, size: int, fd: int) -> None:
        """Takes over `fd`, also when it raises OSError or ValueError: it cannot be mapped."""
        self.number = number
        self.size = size
        self.fd = fd
        self.map = mmap.mmap(fd, size)

    @classmethod
    def create(cls, number: int, size: int) -> Segment:
        """A new one, all of whose pages are there: filling it is then as fast as filling any memory.

        Raises:
            OSError: there is no memory, or no file descriptor, left for it.
        """
        fd = os.memfd_create("iris-actor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            # Reserved here, where the lack of it is an error; a page that is missing later would be SIGBUS.
            os.posix_fallocate(fd, 0, size)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        except BaseException:
            close(fd)
            raise
        segment = cls(number, size, fd)
        with suppress(OSError):  # an older kernel: the first to fill it waits for its pages
            for start in range(0, size, _PIECE):
                segment.map.madvise(_POPULATE_WRITE, start, min(_PIECE, size - start))
        return segment

    @property
    def inode(self) -> int:
        """What tells its file from others."""
        return os.fstat(self.fd).st_ino

    @classmethod
    def of(cls, number: int, size: int, inode: int, fd: int) -> Segment:
        """The one of another process, which need not mean well. Takes over `fd`.

        Raises:
            ValueError: it is not what it is said to be, or may be cut off under our feet.
            OSError: it cannot be mapped.
        """
        found = os.fstat(fd)
        try:
            sealed = bool(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)
        except OSError:  # no such file
            sealed = False
        same = stat.S_ISREG(found.st_mode) and (found.st_ino, found.st_size) == (inode, size)
        if not (same and sealed):
            close(fd)
            raise ValueError(f"segment {number} of {size} bytes is another file, or is not sealed")
        return cls(number, size, fd)

    def __del__(self, close=close) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        # The map goes when the last view of it goes.
        with suppress(OSError):
            close(self.fd)
