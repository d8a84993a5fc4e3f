"""Memory for bodies that arrive, used again once nobody holds it.

Filling fresh memory costs a page fault every 4 KiB, ten times the price of filling memory that was
there before. A block is free again when nothing but this pool refers to it: views, and the arrays that
are built on them, keep a reference to their block, so its reference count tells.
"""

from __future__ import annotations

import mmap
import sys
import threading
from contextlib import suppress

from iris_actor.codec import Body
from iris_actor.rpc.limits import KIB, MIB

_MIN_BLOCK = MIB
_HUGE = 4 * MIB
"""Bytes from which memory is asked for in huge pages, as numpy does for arrays of this size."""
_IDLE_REFERENCES = 3
"""References to a block that only the pool holds: its list, the loop variable, getrefcount's argument."""


def _fresh(size: int) -> bytearray | mmap.mmap:
    """Memory of `size` bytes. What is large is filled in a quarter of the time where there are huge pages.

    Raises:
        MemoryError: there is none.
    """
    if size < _HUGE or sys.platform != "linux":
        return bytearray(size)
    try:
        block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"{size} bytes") from error
    with suppress(OSError):  # a kernel that was built without them
        block.madvise(mmap.MADV_HUGEPAGE)
    return block


class BufferPool:
    """Hands out writable views, and takes their memory back by itself. Thread-safe.

    Args:
        keep: bytes that the pool may hold on to.
    """

    def __init__(self, keep: int = 512 * MIB) -> None:
        self._keep = keep
        self._blocks: list[bytearray | mmap.mmap] = []
        self._kept = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> memoryview:
        """A writable view of `size` bytes, with any content; reused once all views of it are gone."""
        if size < _MIN_BLOCK:
            return memoryview(bytearray(size))
        with self._lock:
            return memoryview(self._find(size))[:size]

    def _find(self, size: int) -> bytearray | mmap.mmap:
        block = self._idle(size)
        if block is not None:
            return block
        try:
            block = _fresh(size)
        except MemoryError:
            # What lies idle here may be what is missing.
            self._blocks.clear()
            self._kept = 0
            block = _fresh(size)
        self._evict(size)
        if self._kept + size <= self._keep:
            self._blocks.append(block)
            self._kept += size
        return block

    def _idle(self, size: int) -> bytearray | mmap.mmap | None:
        # A block up to twice the size will do; a larger one would be held hostage by a small array.
        for block in self._blocks:
            if size <= len(block) <= 2 * size and sys.getrefcount(block) <= _IDLE_REFERENCES:
                return block
        return None

    def _evict(self, size: int) -> None:
        # Oldest first. A block in use is only forgotten, its holders keep it.
        while self._blocks and self._kept + size > self._keep:
            self._kept -= len(self._blocks.pop(0))


buffers = BufferPool()
"""The pool of this process."""


_PIECE = 8 * MIB


def own(body: Body) -> Body:
    """`body` with its large buffers copied, so that their owner may change them at once."""
    if not body.buffers:
        return body
    copies = []
    for buffer in body.buffers:
        if type(buffer.obj) is bytes:  # nobody can change them
            copies.append(buffer)
            continue
        copy = buffers.take(buffer.nbytes)
        fill(copy, buffer)
        copies.append(copy)
    return Body(body.data, tuple(copies))


def fill(target: memoryview, source: memoryview) -> None:
    """Copy `source` to `target`, which has the same size.

    In pieces, between which other threads get their turn: a gigabyte at once would hold them up for as long
    as it takes, and with them the answers to keepalives.
    """
    for start in range(0, source.nbytes, _PIECE):
        target[start : start + _PIECE] = source[start : start + _PIECE]


def keep_freed_memory() -> None:
    """Have glibc keep what is freed of a megabyte or so, instead of giving it back page by page.

    Chunks are copied through fresh strings of Python's and gRPC's, whose page faults cost more than all
    the copying. glibc raises the size from which it maps memory (to 32 MiB at most), and what it keeps
    for reuse (to twice that), when a mapped block of that size is freed; see M_MMAP_THRESHOLD in
    mallopt(3). The block is never touched, so this costs nothing.
    """
    bytes(_ADAPT_TO)


_ADAPT_TO = 32 * MIB - 64 * KIB
