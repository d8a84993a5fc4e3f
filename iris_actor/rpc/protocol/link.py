"""Link: one side of a sequence of packets between two peers, which outlives the streams that carry it. Pure.

::

    queue(frame) ──► outbox ─┐
                             ├─► next_packet(now) ─► kept until acknowledged      stream
    large bodies ─► chunks ──┘                                             ─────────────►
                    (window)        packet ◄─ receive(data, now) ◄───────────────────────

Whatever was queued while the last packet was being written goes out as the next one: batches form by
themselves, and a lone frame leaves at once. Small frames and chunks take turns, so a large body delays a
small call by one chunk at most.

Each packet has a sequence number and is kept, encoded, until the other side acknowledges it. On a new
stream the peers exchange what they have received (`attach`), and the rest is sent again; a receiver drops
duplicates. So every frame takes effect once, in order.

A link has no thread, lock, clock or stream. `queue` and `queue_body` may be called in any thread.
`next_packet`, `attach` and `detach` are for whoever holds the one lock around the link; the rest is for one
thread, which may receive while another makes a packet.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from iris_actor._proto.session_pb2 import Packet, Segment
from iris_actor.codec import Body
from iris_actor.errors import PayloadTooLargeError, ProtocolError
from iris_actor.rpc.limits import PACKET_BYTES, PACKET_FRAMES, WINDOW
from iris_actor.rpc.protocol.transfer import IncomingTransfer, OutgoingTransfer
from iris_actor.rpc.protocol.wire import decode, encode_chunk

Fields = dict[str, Any]

ACK_PACKETS = 64
ACK_BYTES = WINDOW // 8
"""Packets and bytes that are acknowledged at once when nothing goes the other way."""
ACK_DELAY = 0.2
"""Seconds after which fewer are."""

_MAX_PARTS = 65_536


class Link:
    """See the module.

    Args:
        take: memory of so many bytes for what arrives.

    Attributes:
        received: number of the last packet that took effect.
        max_payload: bytes that a body may have.
        due: when `next_packet` gives an acknowledgement, even if nothing was queued; infinite when none is
            owed.
    """

    def __init__(self, take: Callable[[int], memoryview]) -> None:
        self.received = 0
        self.max_payload = 0
        self.due = math.inf
        self._take = take
        self._outbox: deque[tuple[str, Fields, OutgoingTransfer | None]] = deque()
        self._bulk: deque[OutgoingTransfer] = deque()
        self._transfers = itertools.count(1)
        self._sent_seq = 0
        self._kept: deque[tuple[int, bytes, int]] = deque()
        # Two counts, each written by one side only: who makes packets, and who receives them.
        self._bulk_sent = self._bulk_acknowledged = 0
        self._replay: deque[bytes] = deque()
        self._bulk_turn = False
        self._incoming: dict[int, IncomingTransfer] = {}
        self._owed_packets = 0
        self._owed_bytes = 0

    # --- sending --------------------------------------------------------------------------------------

    def queue(self, kind: str, fields: Fields, transfer: OutgoingTransfer | None = None) -> None:
        """Queue a frame: `kind` is a field of Packet, `fields` its content."""
        self._outbox.append((kind, fields, transfer))

    def queue_body(
        self, kind: str, fields: Fields, parts: Sequence[memoryview], segment: int = 0
    ) -> OutgoingTransfer:
        """Queue a frame whose body does not fit into it; its parts must not change until they are through.

        Args:
            kind: as for `queue`.
            fields: likewise.
            parts: of the body.
            segment: number of the segment that the parts stand in; 0 sends them in chunks.
        """
        transfer = OutgoingTransfer(next(self._transfers), parts, segment)
        fields["parts"] = {"transfer": transfer.number, "sizes": transfer.sizes}
        self.queue(kind, fields, transfer)
        return transfer

    def next_packet(self, now: float) -> bytes | None:
        """The next packet for the stream; None while there is nothing to send, or no window for it."""
        if self._replay:
            return self._replay.popleft()
        if self._bulk_turn or not self._outbox:
            self._bulk_turn = False
            data = self._next_chunk()
            if data is not None:
                return data
        if self._outbox:
            self._bulk_turn = True
            return self._next_frames()
        if now >= self.due:
            return Packet(ack=self._acknowledge()).SerializeToString()
        return None

    def _next_frames(self) -> bytes:
        packet = Packet()
        outbox = self._outbox
        room = PACKET_BYTES
        frames: dict[str, Any] = {}
        for _ in range(min(len(outbox), PACKET_FRAMES)):
            kind, fields, transfer = outbox.popleft()
            add = frames.get(kind)
            if add is None:
                field = getattr(packet, kind)
                if not hasattr(field, "add"):
                    field.SetInParent()
                    for name, value in fields.items():
                        setattr(field, name, value)
                    continue
                add = frames[kind] = field.add
            add(**fields)
            if transfer is not None and transfer.segment:
                packet.segments.add(number=transfer.segment, event=Segment.LENT, transfer=transfer.number)
            elif transfer is not None:
                self._bulk.append(transfer)
            elif "data" in fields:
                room -= len(fields["data"])
                if room <= 0:
                    break
        packet.seq = self._sent_seq = self._sent_seq + 1
        packet.ack = self._acknowledge()
        data = packet.SerializeToString()
        self._kept.append((self._sent_seq, data, 0))
        return data

    def _next_chunk(self) -> bytes | None:
        bulk = self._bulk
        while bulk and self._bulk_sent - self._bulk_acknowledged < WINDOW:
            transfer = bulk.popleft()
            piece = transfer.next_piece()
            if piece is None:
                continue
            bulk.append(transfer)  # transfers take turns
            part, offset, view = piece
            self._sent_seq += 1
            data = encode_chunk(self._sent_seq, self._acknowledge(), transfer.number, part, offset, view)
            self._kept.append((self._sent_seq, data, len(view)))
            self._bulk_sent += len(view)
            return data
        return None

    def _acknowledge(self) -> int:
        # In this order: what is received in between is acknowledged here, and once more.
        self._owed_packets = self._owed_bytes = 0
        self.due = math.inf
        return self.received

    # --- streams --------------------------------------------------------------------------------------

    def attach(self, received: int) -> None:
        """A stream begins whose other side has everything up to packet `received`; the rest is sent again.

        The other side has been told what this one has, so that no acknowledgement is owed.

        Raises:
            ProtocolError: when it cannot have that.
        """
        self._acknowledged(received)
        self._replay = deque(data for _, data, _ in self._kept)
        self._acknowledge()

    def detach(self) -> None:
        """The stream ended. What it carried and is not acknowledged goes out on the next one."""
        self._replay.clear()

    def close(self) -> list[Fields]:
        """Forget everything. Returns the fields of call frames that were never put into a packet."""
        unsent = [fields for kind, fields, _ in list(self._outbox) if kind == "calls"]
        for waiting in (self._outbox, self._bulk, self._kept, self._replay, self._incoming):
            waiting.clear()
        self._bulk_acknowledged = self._bulk_sent
        self.due = math.inf
        return unsent

    @property
    def flushed(self) -> bool:
        """Whether everything that was queued is acknowledged."""
        return not (self._outbox or self._bulk or self._kept)

    @property
    def bulk_waits(self) -> bool:
        """Whether a large body is on its way, which goes on when the window opens."""
        return bool(self._bulk)

    @property
    def pending(self) -> bool:
        """Whether a frame waits for a packet."""
        return bool(self._outbox)

    @property
    def progress(self) -> int:
        """Grows with what arrives from the other side, be it packets or acknowledgements of ours."""
        kept = self._kept
        return self.received + (kept[0][0] if kept else self._sent_seq + 1)

    # --- receiving ------------------------------------------------------------------------------------

    def receive(self, data: bytes | memoryview, now: float) -> Packet | None:
        """Take one message of the stream; the packet whose frames take effect now, if there is one.

        Of a message without a sequence number, which is neither kept nor acknowledged, the packet is returned
        as it is. A chunk goes to its transfer.

        Raises:
            ProtocolError: when it is not what the protocol allows; the link is then of no more use.
        """
        packet, bulk = decode(data)
        if packet.ack:
            self._acknowledged(packet.ack)
        seq = packet.seq
        if not seq:
            return packet
        if seq <= self.received:
            return None
        if seq != self.received + 1:
            raise ProtocolError(f"packet {seq} came after packet {self.received}")
        self.received = seq
        self._owe(len(data), now)
        if bulk is None:
            return packet
        self._take_chunk(packet, bulk)
        return None

    def expect(self, transfer: int, sizes: Sequence[int], on_complete: Callable[[Body], None]) -> None:
        """Collect an announced transfer, and call `on_complete(body)` in `receive` when it is whole.

        Raises:
            PayloadTooLargeError: when it is over `max_payload` bytes; its chunks are then ignored.
            ProtocolError: when the announcement makes no sense.
        """
        self.check(transfer, sizes)
        self._incoming[transfer] = IncomingTransfer([self._take(size) for size in sizes], on_complete)

    def check(self, transfer: int, sizes: Sequence[int]) -> None:
        """Refuse an announcement, with the errors of `expect`."""
        if not sizes or len(sizes) > _MAX_PARTS or not sum(sizes) or transfer in self._incoming:
            raise ProtocolError(f"transfer {transfer} of {len(sizes)} parts makes no sense")
        if sum(sizes) > self.max_payload:
            raise PayloadTooLargeError(
                f"{sum(sizes)} bytes are over the limit of {self.max_payload} (Limits.max_payload)"
            )

    def forget(self, transfer: int) -> None:
        """Ignore what is still to come of an incoming transfer."""
        self._incoming.pop(transfer, None)

    def _acknowledged(self, seq: int) -> None:
        if seq > self._sent_seq:
            raise ProtocolError(f"the other side claims packet {seq}, but only {self._sent_seq} were sent")
        kept = self._kept
        freed = 0
        while kept and kept[0][0] <= seq:
            freed += kept.popleft()[2]
        self._bulk_acknowledged += freed

    def _take_chunk(self, packet: Packet, bulk: memoryview) -> None:
        chunk = packet.chunk
        transfer = self._incoming.get(chunk.transfer)
        if transfer is not None and transfer.put(chunk.part, chunk.offset, bulk):
            self._incoming.pop(chunk.transfer, None)

    def _owe(self, size: int, now: float) -> None:
        self._owed_packets += 1
        self._owed_bytes += size
        if self._owed_packets >= ACK_PACKETS or self._owed_bytes >= ACK_BYTES:
            self.due = now
        elif self.due == math.inf:
            self.due = now + ACK_DELAY
