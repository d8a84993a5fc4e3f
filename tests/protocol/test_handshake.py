"""What the two sides say before the first packet, and what follows from it: the whole table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from iris_actor._proto import session_pb2 as pb
from iris_actor.rpc.limits import Limits
from iris_actor.rpc.protocol.handshake import (
    ClientHandshake,
    Greeted,
    Lost,
    Refused,
    ServerHandshake,
    Unknown,
    Welcomed,
)
from iris_actor.rpc.protocol.wire import VERSION


def server(sessions: Mapping[str, int], *, incarnation: str = "run-1", **options: Any) -> ServerHandshake:
    return ServerHandshake(incarnation, Limits(max_in_flight_per_caller=7), sessions.get, **options)


def client(incarnation: str = "", received: int = 0) -> ClientHandshake:
    return ClientHandshake("session-1", incarnation, received, host="there", pid=42)


def test_a_new_session_is_greeted_and_hears_what_it_may_do() -> None:
    caller = client()
    greeted = server({}, lane="a-lane").receive(caller.begin())
    assert isinstance(greeted, Greeted)
    assert (greeted.session_id, greeted.received, greeted.host, greeted.pid) == ("session-1", 0, "there", 42)
    welcomed = caller.receive(greeted.answer)
    assert isinstance(welcomed, Welcomed)
    assert (welcomed.incarnation, welcomed.received, welcomed.lane) == ("run-1", 0, "a-lane")
    assert welcomed.max_in_flight == 7
    assert welcomed.resume_window == Limits().resume_window


def test_a_session_that_comes_back_tells_and_hears_what_has_arrived() -> None:
    caller = client("run-1", received=5)
    greeted = server({"session-1": 9}).receive(caller.begin())
    assert isinstance(greeted, Greeted)
    assert greeted.received == 5
    welcomed = caller.receive(greeted.answer)
    assert isinstance(welcomed, Welcomed)
    assert welcomed.received == 9


def test_the_first_hello_of_a_session_may_come_twice() -> None:
    greeted = server({"session-1": 0}).receive(client().begin())
    assert isinstance(greeted, Greeted)
    again = client()
    again.begin()
    assert isinstance(again.receive(greeted.answer), Welcomed)


def test_a_session_that_the_server_has_forgotten_is_lost() -> None:
    caller = client("run-1", received=5)
    unknown = server({}).receive(caller.begin())
    assert isinstance(unknown, Unknown)
    assert caller.receive(unknown.answer) == Lost("the session expired")


def test_a_server_that_was_started_anew_has_lost_the_session() -> None:
    caller = client("run-1", received=5)
    unknown = server({}, incarnation="run-2").receive(caller.begin())
    assert isinstance(unknown, Unknown)
    assert caller.receive(unknown.answer) == Lost("the server restarted")


def test_a_lane_carries_only_sessions_that_are_there() -> None:
    assert isinstance(server({}, only_resume=True).receive(client().begin()), Unknown)
    assert isinstance(server({"session-1": 0}, only_resume=True).receive(client().begin()), Greeted)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (pb.Packet(hello=pb.Hello(version=VERSION)), "names no session"),
        (pb.Packet(hello=pb.Hello(version=VERSION + 1, session_id="s")), f"version {VERSION + 1}"),
        (pb.Packet(ack=3), "version 0"),
        (pb.Packet(), "version 0"),
    ],
)
def test_a_hello_that_is_none_is_refused_with_the_reason(said: pb.Packet, reason: str) -> None:
    refused = server({}).receive(said.SerializeToString())
    assert isinstance(refused, Refused)
    assert reason in refused.reason


@pytest.mark.parametrize(
    "said", [pb.Packet(), pb.Packet(ack=1), pb.Packet(welcome=pb.Welcome(version=VERSION + 1))]
)
def test_a_welcome_that_is_none_is_refused(said: pb.Packet) -> None:
    caller = client()
    caller.begin()
    assert isinstance(caller.receive(said.SerializeToString()), Refused)


def test_bytes_that_are_no_message_are_refused_by_both_sides() -> None:
    assert isinstance(server({}).receive(b"\xff\xff\xff"), Refused)
    caller = client()
    caller.begin()
    assert isinstance(caller.receive(b"\xff\xff\xff"), Refused)
