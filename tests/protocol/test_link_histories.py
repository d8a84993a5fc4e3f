"""Histories of two links: whatever breaks, each frame takes effect once, in order, and bodies are whole."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from iris_actor._proto.session_pb2 import Packet
from iris_actor.errors import PayloadTooLargeError, ProtocolError
from iris_actor.rpc.limits import CHUNK, PACKET_FRAMES, WINDOW
from iris_actor.rpc.protocol.link import ACK_DELAY, ACK_PACKETS, Link
from tests.protocol.pretend import Pair, Side

SIDES = st.sampled_from(["client", "server"])
BODIES = st.lists(st.integers(0, 300), min_size=1, max_size=4).filter(sum)
EVENTS = st.one_of(
    st.tuples(st.just("send"), SIDES),
    st.tuples(st.just("send body"), SIDES, BODIES),
    st.tuples(st.just("cancel"), SIDES, st.integers(0, 5)),
    st.tuples(st.just("write"), SIDES),
    st.tuples(st.just("deliver"), SIDES),
    st.tuples(st.just("cut")),
    st.tuples(st.just("connect")),
    st.tuples(st.just("wait"), st.floats(0, 2 * ACK_DELAY)),
)


def play(pair: Pair, events: list[tuple[Any, ...]]) -> set[tuple[str, int]]:
    """Have all that happen; returns the side and number of bodies that were cancelled."""
    cancelled: set[tuple[str, int]] = set()
    for kind, *rest in events:
        side: Side | None = getattr(pair, rest[0]) if rest and isinstance(rest[0], str) else None
        if side is None:
            if kind == "wait":
                pair.now += rest[0]
            else:
                getattr(pair, kind)()
        elif kind == "send body":
            side.send_body([bytes([len(side.sent) % 251]) * size for size in rest[1]])
        elif kind == "cancel":
            running = sorted(number for number, transfer in side.transfers.items() if not transfer.done)
            if running:
                number = running[rest[1] % len(running)]
                side.transfers[number].cancelled = True
                cancelled.add((side.name, number))
        elif kind == "send":
            side.send()
        else:
            getattr(pair, kind)(side)
    return cancelled


@settings(max_examples=1500, deadline=None)
@given(st.lists(EVENTS, max_size=60))
def test_every_frame_takes_effect_once_in_order_and_bodies_arrive_whole(
    events: list[tuple[Any, ...]],
) -> None:
    pair = Pair()
    cancelled = play(pair, events)
    pair.settle()
    for side in pair.sides:
        there = pair.other(side)
        note(f"{side.name} sent {side.sent}")
        assert there.got == side.sent
        whole = {n: body for n, body in side.bodies_sent.items() if (side.name, n) not in cancelled}
        assert {n: body for n, body in there.bodies_got.items() if n in whole} == whole
        for number in there.bodies_got.keys() - whole.keys():  # cancelled when it was through already
            assert there.bodies_got[number] == side.bodies_sent[number]
        assert side.link.due == float("inf")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=200), st.integers(1, 30))
def test_cuts_at_any_moment_lose_and_repeat_nothing(cuts: list[bool], every: int) -> None:
    pair = Pair()
    for number, cut in enumerate(cuts):
        pair.client.send()
        if number % every == 0:
            pair.server.send_body([b"a" * 100, b"b"])
        pair.write(pair.client)
        pair.write(pair.server)
        if cut:
            pair.cut()
            pair.connect()
        pair.deliver(pair.client)
        pair.deliver(pair.server)
    pair.settle()
    assert pair.server.got == pair.client.sent
    assert pair.client.bodies_got == pair.server.bodies_sent


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_message_that_comes_twice_takes_effect_once(data: st.DataObject) -> None:
    pair = Pair()
    seen: list[bytes] = []
    for _ in range(data.draw(st.integers(1, 30))):
        pair.client.send()
        if pair.write(pair.client):
            seen.append(pair.client.in_flight[-1])
        pair.deliver(pair.client)
        pair.receive(pair.server, data.draw(st.sampled_from(seen)))
    pair.settle()
    assert pair.server.got == pair.client.sent


def test_what_was_queued_meanwhile_is_one_packet() -> None:
    pair = Pair()
    for _ in range(10):
        pair.client.send()
    assert pair.write(pair.client)
    assert not pair.write(pair.client)
    pair.deliver(pair.client)
    assert pair.server.got == list(range(1, 11))


def test_a_packet_has_a_bounded_number_of_frames() -> None:
    pair = Pair()
    for _ in range(PACKET_FRAMES + 1):
        pair.client.send()
    assert pair.write(pair.client)
    assert pair.write(pair.client)
    assert not pair.write(pair.client)


def test_a_small_frame_waits_for_one_chunk_of_a_large_body_at_most() -> None:
    pair = Pair()
    pair.client.send_body([bytes(8 * CHUNK)])
    pair.write(pair.client)
    pair.write(pair.client)
    pair.client.send()
    for _ in range(2):
        pair.write(pair.client)
    while pair.deliver(pair.client):
        pass
    assert pair.server.got == [1, 2]
    assert not pair.server.bodies_got


def test_two_large_bodies_take_turns() -> None:
    pair = Pair()
    pair.client.send_body([bytes(4 * CHUNK)])
    pair.client.send_body([bytes(CHUNK)])
    for _ in range(4):
        pair.write(pair.client)
    while pair.deliver(pair.client):
        pass
    assert list(pair.server.bodies_got) == [2]


def test_no_more_than_a_window_of_chunks_is_kept_unacknowledged() -> None:
    pair = Pair()
    pair.client.send_body([bytes(WINDOW + 3 * CHUNK)])
    while pair.write(pair.client):
        pass
    assert sum(map(len, pair.client.in_flight)) < WINDOW + CHUNK
    pair.settle()
    assert len(pair.server.bodies_got[1]) == WINDOW + 3 * CHUNK


def test_a_cut_in_the_middle_of_a_large_body_sends_the_rest_and_not_the_whole() -> None:
    pair = Pair()
    pair.client.send_body([bytes(8 * CHUNK)])
    for _ in range(5):
        pair.write(pair.client)
    for _ in range(3):
        pair.deliver(pair.client)
    pair.cut()
    pair.connect()
    again = 0
    while pair.write(pair.client):
        again += len(pair.client.in_flight[-1])
        pair.deliver(pair.client)
    assert again < 7 * CHUNK
    assert len(pair.server.bodies_got[1]) == 8 * CHUNK


def test_a_cancelled_body_is_sent_no_further() -> None:
    pair = Pair()
    number = pair.client.send_body([bytes(8 * CHUNK)])
    for _ in range(3):
        pair.write(pair.client)
    pair.client.transfers[number].cancelled = True
    assert not pair.write(pair.client)
    pair.settle()
    assert not pair.server.bodies_got


def test_a_lone_packet_is_acknowledged_after_a_moment() -> None:
    pair = Pair()
    pair.client.send()
    pair.write(pair.client)
    pair.deliver(pair.client)
    assert pair.server.link.due == ACK_DELAY
    assert not pair.write(pair.server)
    pair.now = ACK_DELAY
    assert pair.write(pair.server)
    assert not pair.client.link.flushed
    pair.deliver(pair.server)
    assert pair.client.link.flushed


def test_many_packets_are_acknowledged_at_once() -> None:
    pair = Pair()
    for number in range(ACK_PACKETS):
        assert not pair.write(pair.server), number
        pair.client.send()
        pair.write(pair.client)
        pair.deliver(pair.client)
    assert pair.write(pair.server)


def test_what_goes_the_other_way_acknowledges_for_nothing() -> None:
    pair = Pair()
    pair.client.send()
    pair.write(pair.client)
    pair.deliver(pair.client)
    pair.server.send()
    pair.write(pair.server)
    assert pair.server.link.due == float("inf")
    pair.deliver(pair.server)
    assert pair.client.link.flushed


def test_a_gap_is_an_error() -> None:
    pair = Pair()
    with pytest.raises(ProtocolError, match="packet 2 came after packet 0"):
        pair.receive(pair.server, Packet(seq=2).SerializeToString())


def test_an_acknowledgement_of_what_was_never_sent_is_an_error() -> None:
    pair = Pair()
    with pytest.raises(ProtocolError, match="claims packet 7, but only 0 were sent"):
        pair.receive(pair.server, Packet(ack=7).SerializeToString())
    with pytest.raises(ProtocolError, match="claims packet 7"):
        pair.client.link.attach(7)


@pytest.mark.parametrize("sizes", [[], [0], [1] * 65_537])
def test_an_announcement_without_sense_is_an_error(sizes: list[int]) -> None:
    with pytest.raises(ProtocolError, match="makes no sense"):
        Pair().server.link.expect(1, sizes, lambda _: None)


def test_a_transfer_cannot_be_announced_twice() -> None:
    link = Pair().server.link
    link.expect(1, [5], lambda _: None)
    with pytest.raises(ProtocolError, match="transfer 1"):
        link.expect(1, [5], lambda _: None)


def test_an_announcement_over_the_limit_is_refused_before_memory_is_taken() -> None:
    taken: list[int] = []

    def take(size: int) -> memoryview:
        taken.append(size)
        return memoryview(bytearray(size))

    link = Link(take)
    link.max_payload = 100
    with pytest.raises(PayloadTooLargeError, match="101 bytes are over the limit of 100"):
        link.expect(1, [50, 51], lambda _: None)
    assert taken == []


def test_a_chunk_that_nobody_announced_goes_nowhere() -> None:
    pair = Pair()
    pair.client.send_body([b"abc"])
    pair.write(pair.client)
    pair.write(pair.client)
    pair.client.in_flight.popleft()
    number = Packet(seq=1).SerializeToString()
    pair.receive(pair.server, number)
    assert pair.deliver(pair.client)
    assert not pair.server.bodies_got


def test_a_closed_link_tells_which_calls_never_left() -> None:
    pair = Pair()
    pair.client.send_body([b"gone"])
    pair.write(pair.client)
    pair.client.send_body([b"still here"])
    pair.client.send()
    assert [fields["id"] for fields in pair.client.link.close()] == [2, 3]
    assert pair.client.link.flushed
    assert pair.client.link.next_packet(1e9) is None
