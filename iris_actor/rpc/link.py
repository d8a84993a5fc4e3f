"""Link: a sequence of packets between two peers that outlives the streams which carry it.

::

    any thread ── send(kind, fields) ─► outbox ─┐
                                                ├─► next packet ─► kept until acknowledged ─► stream
    large bodies ─► chunks (window) ────────────┘
              └───► `SharedMemory`, where the other side is on this host

Whatever was queued while the last packet was being written goes out as the next one: batches form by
themselves, and a lone frame leaves at once. Small frames and chunks take turns, so a large body delays
a small call by one chunk at most.

Each packet has a sequence number and is kept, encoded, until the other side acknowledges it. On a new
stream the peers exchange what they have received and the rest is sent again; a receiver drops
duplicates. So every frame takes effect once, in order, or the link is closed.

Over a gRPC stream packets are written by the I/O thread alone. Over a `Lane` any thread may: one that has
nothing else to do than to wait for the answer sends its frame itself (`eager`), and saves the hand-over.
Everything but `send`, `queue`, `queue_body` and `flush` is called in the I/O thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from iris_actor._proto.session_pb2 import Packet, Segment
from iris_actor.codec import Body
from iris_actor.errors import PayloadTooLargeError, ProtocolError
from iris_actor.rpc import buffers
from iris_actor.rpc.io_thread import IOThread
from iris_actor.rpc.lane import Lane
from iris_actor.rpc.limits import INLINE, PACKET_BYTES, PACKET_FRAMES, WINDOW
from iris_actor.rpc.shared_memory import SharedMemory
from iris_actor.rpc.transfer import IncomingTransfer, OutgoingTransfer
from iris_actor.rpc.wire import decode, encode_chunk

Fields = dict[str, Any]

_ACK_PACKETS = 64
_ACK_BYTES = WINDOW // 8
_ACK_DELAY = 0.2
"""Seconds after which received packets are acknowledged if nothing that goes the other way does it."""

_MAX_PARTS = 65_536


class Link:
    """See the module. `on_packet` is called in the I/O thread with each new packet, in order."""

    def __init__(self, io: IOThread, on_packet: Callable[[Packet], None]) -> None:
        self.received = 0
        self.max_payload = 0
        self._io = io
        self._on_packet = on_packet
        self._outbox: deque[tuple[str, Fields, OutgoingTransfer | None]] = deque()
        self._bulk: deque[OutgoingTransfer] = deque()
        self._sent_seq = 0
        self._kept: deque[tuple[int, bytes, int]] = deque()
        # Two counts, each written by one side only: the lock's holder, and the I/O thread.
        self._bulk_sent = self._bulk_acknowledged = 0
        self._replay: deque[bytes] = deque()
        self._bulk_turn = False
        self._incoming: dict[int, IncomingTransfer] = {}
        self._poked = False
        self._idle: Any = None
        self._owed_packets = 0
        self._owed_bytes = 0
        self._ack_timer: Any = None
        self._on_flushed: list[Callable[[], None]] = []
        self._stream: object | None = None
        self._lane: Lane | None = None
        self.memory = SharedMemory(io, partial(self.send, "segments"), self._wake)
        # Held from the making of a packet until it is on its way, so that they leave in order.
        self._writing = threading.Lock()
        self.closed = False

    # --- sending, from any thread -------------------------------------------------------------------

    def send(self, kind: str, fields: Fields) -> None:
        """Send a frame: `kind` is a field of Packet, `fields` its content. After close it goes nowhere."""
        self.queue(kind, fields)
        self.flush()

    def queue(self, kind: str, fields: Fields, transfer: OutgoingTransfer | None = None) -> None:
        """Queue a frame that goes out with the next `flush` of any thread."""
        self._outbox.append((kind, fields, transfer))

    def queue_body(
        self, kind: str, fields: Fields, body: Body, *, copy: bool = False
    ) -> OutgoingTransfer | None:
        """Queue a frame with a body: in the frame when it is small, else as a transfer, which is returned.

        Args:
            kind: as for `queue`.
            fields: likewise.
            body: its buffers must not change until the transfer is through.
            copy: whether they may change as soon as this returns.
        """
        if not body.buffers and len(body.data) <= INLINE:
            fields["data"] = body.data
            self.queue(kind, fields)
            return None
        parts = [memoryview(body.data), *body.buffers]
        number = self.memory.lend(parts, body.nbytes)
        if copy and not number:
            parts = [parts[0], *buffers.own(body).buffers]
        transfer = OutgoingTransfer(parts, number)
        fields["parts"] = {"transfer": transfer.id, "sizes": transfer.sizes}
        self.queue(kind, fields, transfer)
        return transfer

    def flush(self, *, eager: bool = False) -> None:
        """See to it that what is queued goes out.

        Args:
            eager: whether this thread sends it, if it can, with what others have queued. The main thread
                does not: Ctrl-C in the middle of a packet would spoil the session for everybody.
        """
        eager = eager and self._lane is not None and threading.current_thread() is not threading.main_thread()
        if eager and self._writing.acquire(blocking=False):
            try:
                self._write_lane()
            finally:
                self._writing.release()
            if not self._outbox:
                return
        # Read after the frame was queued, cleared before the outbox is looked at: who sees True is served.
        if not self._poked:
            self._poked = True
            try:
                self._io.call_soon(self._wake)
            except BaseException:  # Ctrl-C just here: the next one has to wake it
                self._poked = False
                raise

    # --- streams ------------------------------------------------------------------------------------

    def attach(self, stream: object, received: int) -> None:
        """Go on over `stream`, whose other side has everything up to packet `received`.

        Raises:
            ProtocolError: when it cannot have that.
        """
        with self._writing:
            if received > self._sent_seq:
                raise ProtocolError(f"peer claims packet {received}, but only {self._sent_seq} were sent")
            self._stream, self._lane = stream, None
            self._acknowledged(received)
            self._replay = deque(data for _, data, _ in self._kept)
            self._lane = stream if isinstance(stream, Lane) else None
        self.memory.attached(over_lane=self._lane is not None)
        if self._lane is not None:
            self._wake()

    def detach(self, stream: object) -> None:
        """`stream` broke; frames wait for the next one."""
        if self._stream is stream:
            with self._writing:
                self._stream = self._lane = None
            self.memory.detached()
            self._notify_flushed()

    async def write_all(self, stream: object, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Write packets to `stream` while it is the attached one."""
        while self._stream is stream:
            with self._writing:
                data = self._next()
            if data is None:
                self._idle = self._io.loop.create_future()
                await self._idle
            else:
                await write(data)

    def close(self) -> list[Fields]:
        """Forget everything. Returns the fields of call frames that were never put into a packet."""
        with self._writing:
            self.closed = True
            self._stream = self._lane = None
        unsent = [fields for kind, fields, _ in list(self._outbox) if kind == "calls"]
        self._outbox.clear()
        self._bulk.clear()
        self._kept.clear()
        self._bulk_acknowledged = self._bulk_sent
        self._replay.clear()
        self._incoming.clear()
        self.memory.close()
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None
        self._wake()
        self._notify_flushed()
        return unsent

    def room(self) -> None:
        """The lane takes more."""
        self._wake()

    @property
    def attached(self) -> bool:
        """Whether a stream carries the link at the moment."""
        return self._stream is not None

    @property
    def progress(self) -> int:
        """Grows with what arrives from the other side, be it packets or acknowledgements of ours."""
        kept = self._kept
        return self.received + (kept[0][0] if kept else self._sent_seq + 1)

    def when_flushed(self, callback: Callable[[], None]) -> None:
        """Call `callback` once everything queued is acknowledged, or no stream carries the link."""
        self._on_flushed.append(callback)
        self._notify_flushed()

    # --- the next packet ----------------------------------------------------------------------------

    def _wake(self) -> None:
        self._poked = False
        if self._lane is not None:
            with self._writing:
                self._write_lane()
        idle, self._idle = self._idle, None
        if idle is not None and not idle.done():
            idle.set_result(None)

    def _write_lane(self) -> None:
        lane = self._lane
        if lane is None or not lane.go_on():
            return
        self.memory.write_offers(lane)
        while not lane.blocked and (data := self._next()) is not None:
            lane.send(data)

    def _next(self) -> bytes | None:
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
        if self._owed_packets >= _ACK_PACKETS or self._owed_bytes >= _ACK_BYTES:
            return self._ack_packet()
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
                packet.segments.add(number=transfer.segment, event=Segment.LENT, transfer=transfer.id)
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
            data = encode_chunk(self._sent_seq, self._acknowledge(), transfer.id, part, offset, view)
            self._kept.append((self._sent_seq, data, len(view)))
            self._bulk_sent += len(view)
            return data
        return None

    def _ack_packet(self) -> bytes:
        return Packet(ack=self._acknowledge()).SerializeToString()

    def _acknowledge(self) -> int:
        self._owed_packets = 0
        self._owed_bytes = 0
        return self.received

    # --- receiving ----------------------------------------------------------------------------------

    def receive(self, stream: object, data: bytes | memoryview) -> None:
        """Take one message of `stream`.

        Raises:
            ProtocolError: when it is not what the protocol allows; the link is then of no more use.
        """
        if stream is not self._stream:
            return  # a stream that was replaced still delivers what was in flight: it is sent again
        packet, bulk = decode(data)
        if packet.ack:
            self._acknowledged(packet.ack)
        seq = packet.seq
        if not seq:
            for note in packet.segments:
                self.memory.offered(stream, note)
            return
        if seq <= self.received:
            return
        if seq != self.received + 1:
            raise ProtocolError(f"packet {seq} came after packet {self.received}")
        self.received = seq
        self._owe(len(data))
        if bulk is not None:
            self._take_chunk(packet, bulk)
        elif packet.segments:
            for note in packet.segments:
                self.memory.note(note)
            self._on_packet(packet)
            self.memory.return_unclaimed()
        else:
            self._on_packet(packet)

    def expect(self, transfer: int, sizes: Sequence[int], on_complete: Callable[[Body], None]) -> None:
        """Collect an announced transfer and call `on_complete(body)`, in the I/O thread, when it is whole.

        That may be before this returns.

        Raises:
            PayloadTooLargeError: when it is over `max_payload` bytes; its chunks are then ignored.
            ProtocolError: when the announcement makes no sense.
        """
        if not sizes or len(sizes) > _MAX_PARTS or not sum(sizes) or transfer in self._incoming:
            raise ProtocolError(f"transfer {transfer} of {len(sizes)} parts makes no sense")
        if sum(sizes) > self.max_payload:
            raise PayloadTooLargeError(
                f"{sum(sizes)} bytes are over the limit of {self.max_payload} (Limits.max_payload)"
            )
        body = self.memory.claim(transfer, sizes)
        if body is not None:
            on_complete(body)
        else:
            self._incoming[transfer] = IncomingTransfer(sizes, on_complete)

    def forget(self, transfer: int) -> None:
        """Ignore what is still to come of an incoming transfer."""
        self._incoming.pop(transfer, None)

    def _take_chunk(self, packet: Packet, bulk: memoryview) -> None:
        chunk = packet.chunk
        transfer = self._incoming.get(chunk.transfer)
        if transfer is not None and transfer.put(chunk.part, chunk.offset, bulk):
            self._incoming.pop(chunk.transfer, None)

    def _acknowledged(self, seq: int) -> None:
        kept = self._kept
        freed = 0
        while kept and kept[0][0] <= seq:
            freed += kept.popleft()[2]
        if freed:
            self._bulk_acknowledged += freed
            self._wake()
        if self._on_flushed:
            self._notify_flushed()

    def _owe(self, size: int) -> None:
        self._owed_packets += 1
        self._owed_bytes += size
        if self._owed_packets >= _ACK_PACKETS or self._owed_bytes >= _ACK_BYTES:
            self._wake()
        elif self._ack_timer is None:
            self._ack_timer = self._io.loop.call_later(_ACK_DELAY, self._ack_late)

    def _ack_late(self) -> None:
        self._ack_timer = None
        if self._owed_packets:
            self._owed_packets = _ACK_PACKETS
            self._wake()

    def _notify_flushed(self) -> None:
        if self._stream is None or not (self._outbox or self._bulk or self._kept):
            callbacks, self._on_flushed = self._on_flushed, []
            for callback in callbacks:
                callback()
