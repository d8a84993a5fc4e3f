"""Loans: segments of the other side of a link, and what of them is in use here.

The parts of a lent body are views of the segment: arrays are built right on it, and may be written to. When
the last of them is gone, the segment goes back. A fork would make such memory common to parent and child,
so before one what is in use becomes private to this process, as ordinary memory is, and is never returned.
"""

from __future__ import annotations

import mmap
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from iris_actor.codec import Body
from iris_actor.errors import ProtocolError
from iris_actor.rpc.arena import MOST, MOST_SEGMENTS
from iris_actor.rpc.buffers import own
from iris_actor.rpc.segment import Segment, layout, segments_are_on
from iris_actor.threads.after_fork import ForkStage, at_fork
from iris_actor.unpatched import close


class _Loan:
    """A segment that something here refers to.

    Attributes:
        pinned: whether it is not returned, since a child has it, too.
    """

    def __init__(self, borrowed: _Borrowed, memory: Any, address: int) -> None:
        self.pinned = False
        self._borrowed = borrowed
        self._address = address
        self._memory = weakref.ref(memory, self._ended)
        _live[id(self)] = self

    def _ended(self, _memory: Any) -> None:
        # In any thread, in the middle of anything: takes no lock.
        if _live is None:  # at the end of the interpreter
            return
        _live.pop(id(self), None)
        if not self.pinned:
            self._borrowed.ended()

    def isolate(self) -> None:
        """Have what this process, or a child, writes to it seen by nobody else, from now on."""
        self.pinned = True
        memory = self._memory()
        if memory is not None:
            segment = self._borrowed.segment
            # The same pages at the same place, copied when somebody writes. The owner writes no more.
            _map_privately(self._address, segment.size, segment.fd)


class _Borrowed:
    """A segment of the other side's."""

    def __init__(self, segment: Segment, give_back: Callable[[int], None]) -> None:
        import ctypes

        self.segment = segment
        self.lent = False
        # None once it need not be given back: a loan that lasts must not keep the whole session alive.
        self.give_back: Callable[[int], None] | None = give_back
        self._type = ctypes.c_ubyte * segment.size
        self._address_of = ctypes.addressof

    def lend(self) -> memoryview:
        """All of it; `ended` is called when the view, and all that is built on it, is gone."""
        # An object of its own for each loan, which views keep alive: those of a mmap keep only that.
        memory = self._type.from_buffer(self.segment.map)
        self.lent = True
        _Loan(self, memory, self._address_of(memory))
        return memoryview(memory).cast("B")

    def ended(self) -> None:
        """Nothing refers to it any more."""
        self.lent = False
        if self.give_back is not None:
            self.give_back(self.segment.number)


class Loans:
    """What the other side of a link lends. In the I/O thread.

    Args:
        give_back: called with the number of a segment that is free again: from any thread, and in the middle
            of anything, so it must take no lock.

    Attributes:
        taken: how many bodies came this way.
    """

    def __init__(self, give_back: Callable[[int], None]) -> None:
        self.taken = 0
        self._give_back = give_back
        self._borrowed: dict[int, _Borrowed] = {}
        self._closed = not segments_are_on()

    def map(self, number: int, size: int, inode: int, fd: int) -> bool:
        """Map a segment that is offered; False: it is not wanted, or cannot be had. Takes over `fd`."""
        fits = 0 < size <= MOST and len(self._borrowed) < 2 * MOST_SEGMENTS and number not in self._borrowed
        if self._closed or not fits:
            close(fd)
            return False
        try:
            self._borrowed[number] = _Borrowed(Segment.of(number, size, inode, fd), self._give_back)
        except (OSError, ValueError, MemoryError):
            return False
        return True

    def body(self, number: int, sizes: Sequence[int]) -> Body:
        """The body that stands in a segment.

        Raises:
            ProtocolError: it cannot stand there.
        """
        borrowed = self._borrowed.get(number)
        offsets, end = layout(sizes)
        if borrowed is None or borrowed.lent or end > borrowed.segment.size:
            raise ProtocolError(f"segment {number} was lent with {end} bytes, but it cannot be")
        self.taken += 1
        view = borrowed.lend()
        data, *buffers = (view[offset : offset + size] for offset, size in zip(offsets, sizes, strict=True))
        body = Body(data, tuple(buffers))
        # While a thread forks, nothing new is lent.
        return own(Body(bytes(data), body.buffers)) if _forks else body

    def drop(self, number: int) -> None:
        """It is not lent again. What refers to it keeps it."""
        borrowed = self._borrowed.pop(number, None)
        if borrowed is not None:
            borrowed.give_back = None

    def close(self) -> None:
        """Forget all segments."""
        self._closed = True
        for number in list(self._borrowed):
            self.drop(number)


_live: dict[int, _Loan] = {}
_forks: list[None] = []
"""One item for each thread that forks at the moment."""


def _map_privately(address: int, size: int, fd: int) -> None:
    import ctypes

    libc: Any = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    # Should it fail, for lack of memory to account for, the old mapping stays.
    libc.mmap(address, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _MAP_FIXED, fd, 0)


_MAP_FIXED = 0x10
"""Of mmap(2) on Linux; Python's mmap does not have it."""


def _before_fork() -> None:
    _forks.append(None)
    for loan in list(_live.values()):
        loan.isolate()


def _after_fork_in_parent() -> None:
    _forks.pop()


def _after_fork_in_child() -> None:
    _forks.clear()


at_fork(
    ForkStage.CONNECTIONS,
    before=_before_fork,
    in_parent=_after_fork_in_parent,
    in_child=_after_fork_in_child,
)
