"""Packets to bytes and back, with and without the way past protobuf."""

from __future__ import annotations

import pytest

from iris_actor._proto.session_pb2 import Chunk, Packet
from iris_actor.errors import ProtocolError
from iris_actor.rpc.protocol.wire import decode, encode_chunk


@pytest.mark.parametrize("size", [1, 10, 127, 128, 300, 16_383, 16_384, 1 << 20])
@pytest.mark.parametrize(
    "numbers", [(1, 0, 1, 0, 0), (2**40, 2**40, 2**63, 65_535, 2**50)], ids=["low", "high"]
)
def test_a_chunk_comes_back_as_it_was(size, numbers):
    seq, ack, transfer, part, offset = numbers
    bulk = bytes(range(256)) * (size // 256 + 1)
    data = encode_chunk(seq, ack, transfer, part, offset, memoryview(bulk)[:size])
    packet, back = decode(data)
    assert (packet.seq, packet.ack) == (seq, ack)
    chunk = packet.chunk
    assert (chunk.transfer, chunk.part, chunk.offset, chunk.size) == (transfer, part, offset, size)
    assert bytes(back) == bulk[:size]


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
def test_what_we_write_by_hand_is_what_protobuf_reads_and_the_other_way_round(size):
    bulk = b"\x7a" * size
    ours = encode_chunk(3, 2, 7, 1, 5, memoryview(bulk))
    standard = Packet(seq=3, ack=2, chunk=Chunk(transfer=7, part=1, offset=5, size=size), bulk=bulk)
    assert Packet.FromString(ours) == standard
    packet, back = decode(standard.SerializeToString())
    assert packet.chunk == standard.chunk
    assert bytes(back) == bulk


def test_a_packet_without_chunk_has_no_bulk():
    packet, bulk = decode(Packet(seq=1, calls=[{"id": 1, "method": "m"}]).SerializeToString())
    assert packet.calls[0].method == "m"
    assert bulk is None


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"\x72", b"\x72\xff", b"\x72\x05abc", b"r\x00\x7a\xff", b"r\x02\x20\x05\x7a\x05abc"],
    ids=repr,
)
def test_what_is_no_packet_is_a_protocol_error(data):
    with pytest.raises(ProtocolError, match="no packet"):
        decode(data)


def test_a_chunk_that_lies_about_its_size_does_not_read_beyond_its_bulk():
    honest = encode_chunk(1, 0, 1, 0, 0, memoryview(b"abcdef"))
    lying = Packet(seq=1, chunk=Chunk(transfer=1, size=3), bulk=b"abcdef").SerializeToString()
    assert bytes(decode(honest)[1]) == b"abcdef"
    _, bulk = decode(lying)
    assert bytes(bulk) == b"abcdef"
