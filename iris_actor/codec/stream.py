"""Stream: the file into which a pickler writes, which takes large bytes out of the pickle.

Pickle protocol 5 leaves buffers out of band for objects that offer them (arrays, PEP 574); ``bytes`` and
``bytearray`` do not. But CPython's C pickler hands what has 64 KiB and more to its file uncopied, in a write
of its own, right behind the write that ends with its opcode and length (``_Pickler_write_bytes`` in
Modules/_pickle.c). So the opcode can be replaced, after the fact, by opcodes that make the same object of an
out-of-band buffer; the opcode that follows then memoizes that one.

::

    pickler writes      [frame … frame] B <length>  │  payload  │  memoize [frame …
    stream keeps        [frame … frame] bytes(next buffer)      │  memoize [frame …
                                  beside it:       payload

What is a payload follows from the structure alone, never from what bytes look like: somebody else may have
chosen the content of a string. Frames say how long they are, and opcodes stand outside of them only right
before a payload.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

from iris_actor.codec.body import ONE_PIECE, OUT_OF_BAND, Body

_PROTO, _FRAME = pickle.PROTO, pickle.FRAME
_FRAME_HEADER = 9
_LONG = 1 << 32


def _from_buffer(kind: type) -> bytes:
    """Opcodes that call `kind` with the next out-of-band buffer."""
    name = f"builtins\n{kind.__name__}\n".encode()
    return pickle.GLOBAL + name + pickle.NEXT_BUFFER + pickle.TUPLE1 + pickle.REDUCE


_FROM_BUFFER: dict[Any, bytes] = {bytes: _from_buffer(bytes), bytearray: _from_buffer(bytearray)}


def _announcement(kind: type, size: int) -> bytes:
    """The opcode and length with which pickle announces a payload of that type."""
    if kind is bytearray:
        return pickle.BYTEARRAY8 + size.to_bytes(8, "little")
    if size < _LONG:
        return pickle.BINBYTES + size.to_bytes(4, "little")
    return pickle.BINBYTES8 + size.to_bytes(8, "little")


def _unframed(written: bytes) -> bytes:
    """What stands behind the frames of a write: opcodes that announce a payload, or nothing."""
    position = 2 if written[:1] == _PROTO else 0
    while written[position : position + 1] == _FRAME:
        size = int.from_bytes(written[position + 1 : position + _FRAME_HEADER], "little")
        position += _FRAME_HEADER + size
    return written[position:]


class Stream:
    """Takes what one pickler writes, and the buffers that it offers."""

    # On the class, since most streams get a single write and need none of them.
    _first: bytes = b""
    _file: io.BytesIO | None = None
    _opcodes: bytes = b""  # the last write, unless that was a payload
    _room = ONE_PIECE
    _buffers: list[memoryview] | None = None

    def write(self, chunk: Any) -> None:
        """Called by the pickler."""
        if self._first:
            self._write_more(chunk)
        else:
            self._first = chunk

    def _write_more(self, chunk: Any) -> None:
        file = self._file
        if file is None:
            file = self._file = io.BytesIO()
            file.write(self._first)
            self._opcodes = self._first
        announced = _unframed(self._opcodes)
        if not announced:
            file.write(chunk)
            self._opcodes = chunk
            return
        self._opcodes = b""
        kind = type(chunk)
        if kind in _FROM_BUFFER and len(chunk) >= OUT_OF_BAND:
            announcement = _announcement(kind, len(chunk))
            if announced.endswith(announcement) and not self._has_room(len(chunk)):
                file.seek(-len(announcement), io.SEEK_CUR)
                file.write(_FROM_BUFFER[kind])  # which is longer
                # A bytearray may be resized as soon as this call is over, which a view would forbid.
                self._put_beside(memoryview(chunk if kind is bytes else bytes(chunk)))
                return
        file.write(chunk.raw() if kind is pickle.PickleBuffer else chunk)

    def take(self, buffer: pickle.PickleBuffer) -> bool:
        """Called by the pickler with a buffer that may travel beside the stream: whether it shall not."""
        raw = buffer.raw()
        if raw.nbytes < OUT_OF_BAND or self._has_room(raw.nbytes):
            return True
        self._put_beside(raw)
        return False

    def _has_room(self, size: int) -> bool:
        if size > self._room:
            return False
        self._room -= size
        return True

    def _put_beside(self, buffer: memoryview) -> None:
        if self._buffers is None:
            self._buffers = []
        self._buffers.append(buffer)

    def body(self) -> Body:
        """What was written."""
        buffers = () if self._buffers is None else tuple(self._buffers)
        file = self._file
        if file is None:
            return Body(self._first, buffers)
        return Body(file.getbuffer() if file.tell() > 2 * ONE_PIECE else file.getvalue(), buffers)
