"""The serving side's table of calls: what the caller says reaches the call that it is about, and no other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iris_actor._proto import session_pb2 as pb
from iris_actor.errors import ProtocolError
from iris_actor.rpc.protocol.server_calls import ServerCalls
from iris_actor.rpc.protocol.transfer import OutgoingTransfer


class Call:
    """A call, and what it heard."""

    def __init__(self, number: int) -> None:
        self.id = number
        self.heard: list[str | int] = []

    def grant(self, items: int) -> None:
        self.heard.append(items)


class Table:
    """A table whose calls are all taken on."""

    def __init__(self) -> None:
        self.begun: list[Call] = []
        self.calls: ServerCalls[Call] = ServerCalls(self._begin, lambda call: call.heard.append("cancelled"))

    def _begin(self, frame: pb.Call) -> None:
        call = Call(frame.id)
        self.calls.add(call)
        self.begun.append(call)


def test_a_credit_and_a_cancel_reach_their_call_and_come_too_late_for_one_that_is_over() -> None:
    table = Table()
    table.calls.take(pb.Packet(calls=[pb.Call(id=1), pb.Call(id=2)]))
    one, two = table.begun
    assert table.calls.remove(1) is one
    table.calls.take(pb.Packet(credits=[pb.Credit(id=1, items=3), pb.Credit(id=2, items=4)]))
    table.calls.take(pb.Packet(cancels=[pb.Cancel(id=1), pb.Cancel(id=2), pb.Cancel(id=2), pb.Cancel(id=9)]))
    assert one.heard == []
    assert two.heard == [4, "cancelled"]
    assert len(table.calls) == 0


def test_a_number_that_is_in_use_is_an_error_of_the_caller() -> None:
    table = Table()
    table.calls.take(pb.Packet(calls=[pb.Call(id=1)]))
    with pytest.raises(ProtocolError, match="call 1 began twice"):
        table.calls.take(pb.Packet(calls=[pb.Call(id=1)]))
    assert len(table.calls) == 1


def test_a_cancel_stops_a_large_outcome_that_is_on_its_way() -> None:
    table = Table()
    table.calls.take(pb.Packet(calls=[pb.Call(id=1)]))
    table.calls.remove(1)
    transfers = [OutgoingTransfer(number, [memoryview(b"large")]) for number in (1, 2)]
    table.calls.sending(1, transfers[0])
    table.calls.sending(2, transfers[1])
    table.calls.take(pb.Packet(cancels=[pb.Cancel(id=1)]))
    assert [transfer.cancelled for transfer in transfers] == [True, False]


def test_an_outcome_that_could_not_be_sent_leaves_the_call_open() -> None:
    table = Table()
    table.calls.take(pb.Packet(calls=[pb.Call(id=1)]))
    call = table.calls.remove(1)
    assert call is not None
    table.calls.put_back(call)
    table.calls.end()
    assert call.heard == ["cancelled"]


EVENTS = st.one_of(
    st.tuples(st.just("call"), st.integers(1, 8)),
    st.tuples(st.just("credit"), st.integers(1, 8)),
    st.tuples(st.just("cancel"), st.integers(1, 8)),
    st.tuples(st.just("remove"), st.integers(1, 8)),
)


@settings(max_examples=500, deadline=None, print_blob=True)
@given(st.lists(EVENTS, max_size=40))
def test_each_call_ends_once_by_an_outcome_or_by_a_cancel(events: list[tuple[str, int]]) -> None:
    table = Table()
    open_calls: dict[int, Call] = {}
    removed: list[Call] = []
    for kind, number in events:
        if kind == "call" and number not in open_calls:
            table.calls.take(pb.Packet(calls=[pb.Call(id=number)]))
            open_calls[number] = table.begun[-1]
        elif kind == "credit":
            table.calls.take(pb.Packet(credits=[pb.Credit(id=number, items=1)]))
        elif kind == "cancel":
            table.calls.take(pb.Packet(cancels=[pb.Cancel(id=number)]))
            open_calls.pop(number, None)
        elif kind == "remove":
            call = table.calls.remove(number)
            assert call is open_calls.pop(number, None)
            if call is not None:
                removed.append(call)
        assert len(table.calls) == len(open_calls)
    table.calls.end()
    for call in table.begun:
        assert call.heard.count("cancelled") == (call not in removed)
        if "cancelled" in call.heard:
            assert call.heard[-1] == "cancelled"
