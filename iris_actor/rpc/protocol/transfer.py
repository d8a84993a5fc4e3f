"""Transfers: large bodies on their way, in pieces, between the packets of small frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from iris_actor.codec import Body
from iris_actor.errors import ProtocolError
from iris_actor.rpc.limits import CHUNK


class OutgoingTransfer:
    """A body being sent: yields its pieces in order.

    The body's buffers must not change until it is through (`buffers.own`).

    Args:
        number: what both sides call it.
        parts: of the body.
        segment: number of the segment that it stands in already; 0 when it travels in pieces.

    Attributes:
        number, segment: see above.
        sizes: of its parts.
        cancelled: set when nobody wants it any more.
        done: whether it is through.
    """

    __slots__ = ("_pieces", "cancelled", "done", "number", "segment", "sizes")

    def __init__(self, number: int, parts: Sequence[memoryview], segment: int = 0) -> None:
        self.number = number
        self.sizes = [part.nbytes for part in parts]
        self.segment = segment
        self.cancelled = False
        self.done = segment > 0
        self._pieces = iter(()) if segment else self._cut(parts)

    @staticmethod
    def _cut(parts: Sequence[memoryview]) -> Iterator[tuple[int, int, memoryview]]:
        for number, part in enumerate(parts):
            for offset in range(0, part.nbytes, CHUNK):
                yield number, offset, part[offset : offset + CHUNK]

    def next_piece(self) -> tuple[int, int, memoryview] | None:
        """The next (part, offset, bytes); None at the end, or once `cancelled` is set."""
        piece = None if self.cancelled else next(self._pieces, None)
        self.done = piece is None
        return piece


class IncomingTransfer:
    """A body that arrives.

    Args:
        parts: memory for its parts.
        on_complete: called with the body when it is whole.
    """

    __slots__ = ("_missing", "_on_complete", "_parts")

    def __init__(self, parts: Sequence[memoryview], on_complete: Callable[[Body], None]) -> None:
        self._parts = parts
        self._missing = sum(part.nbytes for part in parts)
        self._on_complete = on_complete

    def put(self, part: int, offset: int, bulk: memoryview) -> bool:
        """Take a piece; True when it was the last one, after `on_complete` was called with the body.

        Raises:
            ProtocolError: when the piece lies outside what was announced.
        """
        if part >= len(self._parts) or offset + len(bulk) > len(self._parts[part]) or not len(bulk):
            message = f"a chunk of {len(bulk)} bytes at {offset} of part {part} was never announced"
            raise ProtocolError(message)
        self._parts[part][offset : offset + len(bulk)] = bulk
        self._missing -= len(bulk)
        if self._missing > 0:
            return False
        data, *rest = self._parts
        self._on_complete(Body(data, tuple(rest)))
        return True
