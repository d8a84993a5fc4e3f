"""Wire: packets to bytes and back, with a way past protobuf for the bulk of large bodies.

Protobuf would copy each chunk twice more on either side. A message is a concatenation of its fields,
so the bulk is put behind the encoded rest by hand, and read in place where it stands last, as
`session.proto` asks of senders. Packets of other layouts are parsed the ordinary way.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError

from iris_actor._proto.session_pb2 import Chunk, Packet
from iris_actor.errors import ProtocolError

VERSION = 1
"""Of the session protocol; peers of different versions refuse each other."""

_CHUNK_TAG = 14 << 3 | 2
_BULK_TAG_BYTE = bytes((15 << 3 | 2,))


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_chunk(seq: int, ack: int, transfer: int, part: int, offset: int, bulk: memoryview) -> bytes:
    """The packet that carries `bulk` as a piece of a part of a transfer. Copies the bulk once."""
    chunk = Chunk(transfer=transfer, part=part, offset=offset, size=len(bulk)).SerializeToString()
    rest = Packet(seq=seq, ack=ack).SerializeToString()
    # A Chunk of four small integers is always shorter than 128 bytes: its length is one byte.
    head = bytes((_CHUNK_TAG, len(chunk)))
    return b"".join((head, chunk, rest, _BULK_TAG_BYTE, _varint(len(bulk)), bulk))


def decode(data: bytes | memoryview) -> tuple[Packet, memoryview | None]:
    """The packet in `data`, and its bulk if it has one.

    Raises:
        ProtocolError: when `data` is no packet.
    """
    try:
        if data[:1] == b"\x72":
            chunk = Chunk.FromString(bytes(data[2 : 2 + data[1]]))
            bulk_head = _BULK_TAG_BYTE + _varint(chunk.size)
            start = len(data) - chunk.size - len(bulk_head)
            if start > 0 and data[start : start + len(bulk_head)] == bulk_head:
                return Packet.FromString(bytes(data[:start])), memoryview(data)[start + len(bulk_head) :]
        packet = Packet.FromString(bytes(data))
    except (DecodeError, IndexError) as error:
        raise ProtocolError(f"a message of {len(data)} bytes is no packet: {error}") from None
    return packet, memoryview(packet.bulk) if packet.HasField("chunk") else None
