"""Body: bytes that stand for a Python value."""

from __future__ import annotations

import pickle

OUT_OF_BAND = 64 * 1024
"""Bytes from which a buffer may travel beside the pickle stream; below, copying costs less."""
ONE_PIECE = 256 * 1024
"""Bytes of such buffers that go into the stream all the same: what is no larger travels in one piece, in one
frame. Several pieces cost more than copying that much."""

PROTOCOL = 5
"""Of pickle."""


class Body:
    """Bytes that stand for a Python value: a stream, and large buffers beside it."""

    __slots__ = ("buffers", "data")

    def __init__(self, data: bytes | memoryview, buffers: tuple[memoryview, ...] = ()) -> None:
        self.data = data
        self.buffers = buffers

    @property
    def nbytes(self) -> int:
        """Size of all parts in bytes."""
        size = len(self.data)
        for buffer in self.buffers:
            size += buffer.nbytes
        return size

    def __repr__(self) -> str:
        return f"Body({len(self.data)} bytes, {len(self.buffers)} buffers of {self.nbytes - len(self.data)})"


EMPTY = Body(pickle.dumps(((), {}), PROTOCOL))
"""The arguments of a call that has none."""
NONE = Body(pickle.dumps(None, PROTOCOL))
"""The value None."""
