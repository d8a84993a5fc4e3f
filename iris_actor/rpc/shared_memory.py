"""SharedMemory: the segments that the two sides of a link lend each other, and what they say about them.

::

    arena of the owner                             loans of the other side
      made ─────── OFFERED, with its descriptor, over a lane ───► map
      IDLE ◄────────────────────── MAPPED ────────────────────────┘
      LENT ────── LENT, in the packet of the frame ─────────────► arrays
      IDLE ◄────────────────────── RETURNED ──────────────────────┘
      gone ────────────────────── DROPPED ──────────────────────► forgotten

Offers are not replayed on another stream, which would bring them without their descriptors; what has no
answer when its lane ends is dropped. All else is in packets like any other, and takes effect once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from iris_actor._proto.session_pb2 import Packet, Segment
from iris_actor.codec import Body
from iris_actor.rpc.arena import KEEP, Arena, OwnSegment
from iris_actor.rpc.io_thread import IOThread
from iris_actor.rpc.loans import Loans
from iris_actor.rpc.transport.stream import Stream


class SharedMemory:
    """Of one link. Everything but `lend` and `write_offers` is called in the I/O thread.

    Args:
        io: the I/O thread.
        send: sends the fields of a note to the other side, from any thread.
        wake: has the link call `write_offers`.

    Attributes:
        arena: what this side lends.
        loans: what it borrows.
    """

    def __init__(
        self, io: IOThread, send: Callable[[dict[str, Any]], None], wake: Callable[[], None]
    ) -> None:
        self.arena = Arena(self._offer_soon, self._drop)
        self.loans = Loans(self._give_back)
        self._io = io
        self._send = send
        self._wake = wake
        self._offers: deque[OwnSegment] = deque()
        # Transfers of the packet at hand, and the segments that they stand in.
        self._announced: dict[int, int] = {}
        self._over_lane = False
        self._usable = False  # whether a lane ever was
        self._trim_timer: Any = None

    # --- what we lend ---------------------------------------------------------------------------------

    def lend(self, parts: list[memoryview], size: int) -> int:
        """Copy the parts of a body to a segment; returns its number, or 0 when there is none for it."""
        segment = self.arena.take(size) if self._usable else None
        if segment is None:
            return 0
        try:
            segment.fill(parts)
        except BaseException:  # Ctrl-C
            self.arena.give_back(segment)
            raise
        return segment.number if self.arena.lend(segment) else 0

    def write_offers(self, stream: Stream) -> None:
        """Send offers while the stream takes them; there are none unless it takes file descriptors, too.

        With the carrier's lock.
        """
        while self._offers and not stream.blocked:
            self._write_offer(stream, self._offers.popleft())

    @staticmethod
    def _write_offer(stream: Stream, own: OwnSegment) -> None:
        packet = Packet()
        note = packet.segments.add(number=own.number, event=Segment.OFFERED, size=own.size)
        note.inode = own.segment.inode
        stream.send(packet.SerializeToString(), own.segment.fd)

    def _offer_soon(self, own: OwnSegment) -> None:
        self._io.call_soon(lambda: self._offer(own))

    def _offer(self, own: OwnSegment) -> None:
        if not self._over_lane:
            self.arena.lost()
            return
        self._offers.append(own)
        if self._trim_timer is None:
            self._trim_timer = self._io.loop.call_later(KEEP, self._trim)
        self._wake()

    def _drop(self, number: int) -> None:
        self._send({"number": number, "event": Segment.DROPPED})

    def _trim(self) -> None:
        left = self.arena.trim()
        self._trim_timer = self._io.loop.call_later(KEEP / 4, self._trim) if left else None

    # --- what we borrow -------------------------------------------------------------------------------

    def claim(self, transfer: int, sizes: Sequence[int]) -> Body | None:
        """The body of an announced transfer, if it stands in a segment of the packet at hand.

        Raises:
            ProtocolError: it cannot stand there.
        """
        number = self._announced.pop(transfer, None)
        return None if number is None else self.loans.body(number, sizes)

    def return_unclaimed(self) -> None:
        """The packet at hand is done: give back what nobody waits for any more."""
        while self._announced:
            self._give_back(self._announced.popitem()[1])

    def _give_back(self, number: int) -> None:
        # From any thread, in the middle of anything.
        self._io.call_soon(lambda: self._send({"number": number, "event": Segment.RETURNED}))

    # --- what the other side says ---------------------------------------------------------------------

    def offered(self, stream: Stream, note: Segment) -> None:
        """It offers a segment, whose descriptor has come over `stream`."""
        fd = stream.take_fd()
        if fd is not None and self.loans.map(note.number, note.size, note.inode, fd):
            self._send({"number": note.number, "event": Segment.MAPPED})

    def note(self, note: Segment) -> None:
        """Anything else."""
        event = note.event
        if event == Segment.LENT:
            self._announced[note.transfer] = note.number
        elif event == Segment.RETURNED:
            self.arena.returned(note.number)
        elif event == Segment.MAPPED:
            self.arena.mapped(note.number)
        elif event == Segment.DROPPED:
            self.loans.drop(note.number)

    # --- the link -------------------------------------------------------------------------------------

    def attached(self, *, over_lane: bool) -> None:
        """A stream carries the link."""
        self._over_lane = over_lane
        self._usable = self._usable or over_lane

    def detached(self) -> None:
        """None does."""
        self._over_lane = False
        self._offers.clear()
        self.arena.lost()

    def close(self) -> None:
        """Forget all segments. What refers to them keeps them."""
        self._over_lane = False  # a segment that was just made comes too late
        self._offers.clear()
        self.arena.close()
        self.loans.close()
        if self._trim_timer is not None:
            self._trim_timer.cancel()
            self._trim_timer = None
