"""Arena: segments that this side of a link owns, and lends to the other with large bodies in them.

::

    take ─► fill ─► LENT, in the packet of the frame ─► the other side reads, or writes, in place
     ▲                                                          │ when nothing there refers to it any more
     └────────────────────── RETURNED ◄────────────────────────┘

A body is copied once, into memory that was there before; the other side gets it without a copy. Making a
segment costs many times what filling it does, so one is made when a second body finds none that fits, in a
thread of its own, and used again and again. Until then, and where there can be none, bodies travel in chunks.
A segment that rested for `REST` seconds is dropped; one that the other side kept for `KEEP` is its own now.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial

from iris_actor.rpc.buffers import fill
from iris_actor.rpc.limits import GIB, KIB, MIB
from iris_actor.rpc.segment import Segment, layout, segments_are_on
from iris_actor.rpc.serial_thread import SerialThread

LEND_FROM = 256 * KIB
"""Bytes from which a body is worth the bookkeeping."""
MOST = 128 * MIB
"""Bytes that a segment may have. Larger bodies travel in chunks, which need no third copy in memory."""
MOST_OF_LINK = 256 * MIB
MOST_OF_PROCESS = GIB
"""Bytes of segments that may be there at once."""
MOST_SEGMENTS = 32
"""Segments that a link may have at once: each takes file descriptors."""
REST = 60.0
"""Seconds for which a segment stays that is not needed. A new one costs ten times what it saves at once, so
that a large array every half minute shall find its segment again."""
KEEP = 10.0
"""Seconds for which the other side may have one that counts as ours."""
_MISSES = 2
_RETRY = 10.0
"""Seconds before another one is made, when one could not."""
_UNWANTED = 600.0
"""Seconds before another one is offered, when the other side did not answer."""


class _State(Enum):
    OFFERED = "OFFERED"
    IDLE = "IDLE"
    FILLING = "FILLING"
    LENT = "LENT"


class OwnSegment:
    """A segment, and who has it at the moment."""

    __slots__ = ("_view", "segment", "state", "touched")

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self._view = memoryview(segment.map)
        self.state = _State.OFFERED
        self.touched = time.monotonic()

    @property
    def number(self) -> int:
        """What both sides call it."""
        return self.segment.number

    @property
    def size(self) -> int:
        """In bytes."""
        return self.segment.size

    def fill(self, parts: Sequence[memoryview]) -> None:
        """Copy the parts of a body to where `layout` says."""
        offsets, _ = layout([part.nbytes for part in parts])
        for offset, part in zip(offsets, parts, strict=True):
            fill(self._view[offset : offset + part.nbytes], part)


class _Budget:
    """Bytes of segments of this process. Thread-safe."""

    def __init__(self) -> None:
        self.used = 0
        self._lock = threading.Lock()

    def reserve(self, size: int) -> bool:
        with self._lock:
            if self.used + size > MOST_OF_PROCESS:
                return False
            self.used += size
            return True

    def refund(self, size: int) -> None:
        with self._lock:
            self.used -= size


budget = _Budget()
_maker = SerialThread("iris-segments")


class Arena:
    """The segments that one side of a link owns. Thread-safe.

    Args:
        offer: sends a new segment to the other side, from any thread, and calls `lost` if it cannot.
        drop: tells the other side that the segment of this number is not lent any more; from any thread.

    Attributes:
        lent: how many bodies went this way.
    """

    def __init__(self, offer: Callable[[OwnSegment], None], drop: Callable[[int], None]) -> None:
        self.lent = 0
        self._offer = offer
        self._drop = drop
        self._lock = threading.Lock()
        self._segments: dict[int, OwnSegment] = {}
        self._numbers = itertools.count(1)
        self._misses = 0
        self._growing = False
        self._not_before = 0.0
        self._closed = not segments_are_on()

    # --- lending, from any thread -------------------------------------------------------------------

    def take(self, size: int) -> OwnSegment | None:
        """A segment for parts that take `size` bytes in all; None: there is none that is free.

        Whoever takes it fills it and calls `lend`, or `give_back`.
        """
        if self._closed or not LEND_FROM <= size <= MOST:
            return None
        with self._lock:
            # Not a much larger one: what the other side keeps of the body would keep all of it.
            fitting = [each for each in self._segments.values() if size <= each.size <= 2 * size]
            best = min(
                (each for each in fitting if each.state is _State.IDLE),
                key=lambda each: each.size,
                default=None,
            )
            if best is not None:
                best.state = _State.FILLING
                best.touched = time.monotonic()
                return best
            self._misses += 1
            waits = self._growing or any(each.state is _State.OFFERED for each in self._segments.values())
            if waits or self._misses < _MISSES or time.monotonic() < self._not_before:
                return None
            self._growing = True
        try:
            _maker.run(partial(self._grow, size))
        except RuntimeError:  # no more threads, or the interpreter ends: the body travels in chunks
            self._growing = False
        return None

    def lend(self, own: OwnSegment) -> bool:
        """`own` is filled, and goes out with the next frame. False: that took so long that it is dropped."""
        with self._lock:
            own.state = _State.LENT
            own.touched = time.monotonic()
            self.lent += 1
            return own.number in self._segments

    def give_back(self, own: OwnSegment) -> None:
        """`own` was not sent."""
        with self._lock:
            own.state = _State.IDLE

    def _grow(self, size: int) -> None:
        # Four sizes to each power of two, so that bodies of about one size share theirs.
        grain = max(64 * KIB, 1 << max(0, size.bit_length() - 3))
        size = -(-size // grain) * grain
        made: OwnSegment | None = None
        try:
            if self._make_room(size):
                made = self._make(size)
            if made is None:
                self._not_before = time.monotonic() + _RETRY
        finally:
            with self._lock:
                self._growing = False
                self._misses = 0
                if made is not None and not self._closed:
                    self._segments[made.number] = made
                elif made is not None:
                    budget.refund(size)
                    made = None
        if made is not None:
            self._offer(made)

    def _make(self, size: int) -> OwnSegment | None:
        if not budget.reserve(size):
            return None
        try:
            return OwnSegment(Segment.create(next(self._numbers), size))
        except BaseException as error:
            budget.refund(size)
            if isinstance(error, OSError | ValueError | MemoryError):
                return None
            raise

    def _make_room(self, size: int) -> bool:
        """Drop what was idle for longest, until `size` more bytes may be had."""
        while True:
            with self._lock:
                total = sum(each.size for each in self._segments.values())
                if len(self._segments) < MOST_SEGMENTS and total + size <= MOST_OF_LINK:
                    return True
                idle = [each for each in self._segments.values() if each.state is _State.IDLE]
                if not idle:
                    return False
                oldest = min(idle, key=lambda each: each.touched)
                self._forget(oldest)
            self._drop(oldest.number)

    def _forget(self, own: OwnSegment) -> None:
        del self._segments[own.number]
        budget.refund(own.size)

    # --- what the other side says, in the I/O thread --------------------------------------------------

    def mapped(self, number: int) -> None:
        """The other side has it."""
        self._becomes_idle(number, _State.OFFERED)

    def returned(self, number: int) -> None:
        """The other side does not need it any more."""
        self._becomes_idle(number, _State.LENT)

    def _becomes_idle(self, number: int, state: _State) -> None:
        with self._lock:
            own = self._segments.get(number)
            if own is not None and own.state is state:
                own.state = _State.IDLE
                own.touched = time.monotonic()

    def lost(self) -> None:
        """The lane over which segments were offered broke: those of which we heard nothing never arrived."""
        self._drop_those(lambda own: own.state is _State.OFFERED)

    def trim(self) -> bool:
        """Drop what rested, or was kept by the other side, for too long; whether anything is left."""
        now = time.monotonic()
        dropped = self._drop_those(
            lambda own: now - own.touched > (REST if own.state is _State.IDLE else KEEP)
        )
        if any(own.state is _State.OFFERED for own in dropped):
            self._not_before = time.monotonic() + _UNWANTED
        return bool(self._segments)

    def _drop_those(self, unwanted: Callable[[OwnSegment], bool]) -> list[OwnSegment]:
        with self._lock:
            found = [own for own in self._segments.values() if unwanted(own)]
            for own in found:
                self._forget(own)
        for own in found:
            self._drop(own.number)
        return found

    def close(self) -> None:
        """Forget all segments, and make no more."""
        with self._lock:
            self._closed = True
            for own in list(self._segments.values()):
                self._forget(own)
