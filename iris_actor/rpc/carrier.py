"""Carrier: what moves a link's packets over the stream of the moment: one link, its lock, its stream.

::

    any thread ── send ─► Link.outbox ─┐  one poke of the I/O thread per burst
                                       ▼
               (lock) next_packet ─► stream.send        stream.on_message ─► Link.receive ─► on_packet
                          ▲ on_room                              (I/O thread)

Over a gRPC stream packets are written by the I/O thread alone. Over a `Lane` any thread may: one that has
nothing else to do than to wait for the answer sends its frame itself (`eager`), and saves the hand-over.
Everything but `send`, `queue`, `queue_body` and `flush` is called in the I/O thread.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any

from iris_actor._proto.session_pb2 import Packet
from iris_actor.codec import Body
from iris_actor.rpc import buffers
from iris_actor.rpc.io_thread import IOThread
from iris_actor.rpc.limits import INLINE
from iris_actor.rpc.protocol.link import Fields, Link
from iris_actor.rpc.protocol.transfer import OutgoingTransfer
from iris_actor.rpc.shared_memory import SharedMemory
from iris_actor.rpc.transport.stream import Stream


class Carrier:
    """See the module. `on_packet` is called in the I/O thread with each new packet, in order."""

    def __init__(self, io: IOThread, on_packet: Callable[[Packet], None]) -> None:
        self.link = Link(buffers.buffers.take)
        self.memory = SharedMemory(io, partial(self.send, "segments"), self._wake)
        self._io = io
        self._on_packet = on_packet
        self._poked = False
        self._ack_timer: Any = None
        self._on_flushed: list[Callable[[], None]] = []
        self._stream: Stream | None = None
        # Held from the making of a packet until it is on its way, so that packets leave in order.
        self._writing = threading.Lock()

    # --- sending, from any thread -------------------------------------------------------------------

    def send(self, kind: str, fields: Fields) -> None:
        """Send a frame: `kind` is a field of Packet, `fields` its content. After close it goes nowhere."""
        self.link.queue(kind, fields)
        self.flush()

    def queue_body(
        self, kind: str, fields: Fields, body: Body, *, copy: bool = False
    ) -> OutgoingTransfer | None:
        """Queue a frame with a body: in the frame when it is small, else as a transfer, which is returned.

        Args:
            kind: as for `send`.
            fields: likewise.
            body: its buffers must not change until the transfer is through.
            copy: whether they may change as soon as this returns.
        """
        if not body.buffers and len(body.data) <= INLINE:
            fields["data"] = body.data
            self.link.queue(kind, fields)
            return None
        parts = [memoryview(body.data), *body.buffers]
        segment = self.memory.lend(parts, body.nbytes)
        if copy and not segment:
            parts = [parts[0], *buffers.own(body).buffers]
        return self.link.queue_body(kind, fields, parts, segment)

    def flush(self, *, eager: bool = False) -> None:
        """See to it that what is queued goes out.

        Args:
            eager: whether this thread sends it, if it can, with what others have queued. The main thread
                does not: Ctrl-C in the middle of a packet would spoil the session for everybody.
        """
        stream = self._stream
        eager = eager and stream is not None and stream.direct
        if (
            eager
            and threading.current_thread() is not threading.main_thread()
            and self._writing.acquire(blocking=False)
        ):
            try:
                self._write()
            finally:
                self._writing.release()
            if not self.link.pending:
                return
        # Read after the frame was queued, and cleared before the outbox is looked at: a frame whose sender
        # sees True is in the outbox when that is looked at next.
        if not self._poked:
            self._poked = True
            try:
                self._io.call_soon(self._wake)
            except BaseException:  # Ctrl-C just here: the next sender has to wake it
                self._poked = False
                raise

    # --- streams ------------------------------------------------------------------------------------

    def attach(self, stream: Stream, received: int) -> None:
        """Go on over `stream`, whose other side has everything up to packet `received`.

        Raises:
            ProtocolError: when it cannot have that.
        """
        stream.on_message = partial(self._receive, stream)
        stream.on_room = self._wake
        with self._writing:
            self.link.attach(received)
            self._stream = stream
        self.memory.attached(over_lane=stream.direct)
        self._wake()

    def detach(self, stream: Stream) -> None:
        """`stream` broke; frames wait for the next one."""
        if self._stream is stream:
            with self._writing:
                self._stream = None
                self.link.detach()
            self.memory.detached()
            self._notify_flushed()

    def close(self) -> list[Fields]:
        """Forget everything. Returns the fields of call frames that were never put into a packet."""
        with self._writing:
            self._stream = None
            unsent = self.link.close()
        self.memory.close()
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None
        self._notify_flushed()
        return unsent

    @property
    def attached(self) -> bool:
        """Whether a stream carries the link at the moment."""
        return self._stream is not None

    def when_flushed(self, callback: Callable[[], None]) -> None:
        """Call `callback` once everything queued is acknowledged, or no stream carries the link."""
        self._on_flushed.append(callback)
        self._notify_flushed()

    # --- writing --------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._poked = False
        if self._stream is not None:
            with self._writing:
                self._write()

    def _write(self) -> None:
        stream = self._stream
        if stream is None or not stream.go_on():
            return
        self.memory.write_offers(stream)
        while not stream.blocked and (data := self.link.next_packet(monotonic())) is not None:
            stream.send(data)

    # --- receiving ------------------------------------------------------------------------------------

    def _receive(self, stream: Stream, data: bytes | memoryview) -> None:
        if stream is not self._stream:
            return  # a stream that was replaced still delivers what was in flight: it is sent again
        now = monotonic()
        link = self.link
        packet = link.receive(data, now)
        if packet is not None:
            self._take(stream, packet)
        if link.due <= now or link.bulk_waits:
            self._wake()
        elif self._ack_timer is None and link.due < math.inf:
            self._ack_timer = self._io.loop.call_later(link.due - now, self._acknowledge_late)
        if self._on_flushed:
            self._notify_flushed()

    def _take(self, stream: Stream, packet: Packet) -> None:
        if not packet.seq:
            for note in packet.segments:
                self.memory.offered(stream, note)
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
            PayloadTooLargeError: when it is over `Link.max_payload` bytes; its chunks are then ignored.
            ProtocolError: when the announcement makes no sense.
        """
        self.link.check(transfer, sizes)
        body = self.memory.claim(transfer, sizes)
        if body is not None:
            on_complete(body)
        else:
            self.link.expect(transfer, sizes, on_complete)

    def _acknowledge_late(self) -> None:
        self._ack_timer = None
        if self.link.due < math.inf:
            self._wake()
            if self.link.due < math.inf and self._stream is not None:  # owed since this timer was set
                self._ack_timer = self._io.loop.call_later(
                    max(0.0, self.link.due - monotonic()), self._acknowledge_late
                )

    def _notify_flushed(self) -> None:
        if self._stream is None or self.link.flushed:
            callbacks, self._on_flushed = self._on_flushed, []
            for callback in callbacks:
                callback()
