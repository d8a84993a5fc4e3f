"""Whatever a peer sends, it ends in a clear error for that peer alone."""

from __future__ import annotations

import grpc
import pytest

from iris_actor import codec
from iris_actor._proto import session_pb2 as pb
from tests.support.lab import Lab
from tests.support.raw import RawSession
from tests.support.serving import NAME, hosting

ACTOR = f"test/{NAME}"


@pytest.fixture
def hosted():
    with hosting(Lab(), max_concurrency=2) as hosted:
        yield hosted
        assert hosted.pool.call(timeout=10).echo("others") == "others", "other sessions are unaffected"
        assert hosted.server.in_flight == 0


@pytest.fixture
def raw(hosted):
    hosted.pool.call(timeout=10).echo("before")
    with RawSession(hosted.address) as raw:
        yield raw


def greeted(raw: RawSession) -> RawSession:
    raw.hello()
    assert raw.receive().welcome.version == 1
    return raw


def call(number: int = 1, method: str = "echo", args: tuple = ("hi",), **fields) -> pb.Call:
    data = b"" if "parts" in fields else bytes(codec.dump_arguments("x", args, {}).data)
    return pb.Call(id=number, actor=ACTOR, method=method, data=data, **fields)


def chunk(transfer: int, bulk: bytes, part: int = 0, offset: int = 0, size: int | None = None) -> dict:
    length = len(bulk) if size is None else size
    return {"chunk": pb.Chunk(transfer=transfer, part=part, offset=offset, size=length), "bulk": bulk}


def refused(raw: RawSession, *words: str) -> None:
    code, details = raw.status()
    assert code is grpc.StatusCode.INVALID_ARGUMENT, details
    for word in words:
        assert word in details


def test_a_raw_client_that_speaks_the_protocol_is_served(raw):
    greeted(raw).frame(calls=[call()])
    reply = raw.reply()
    assert reply.id == 1
    assert codec.loads(codec.Body(reply.data)) == "hi"


def test_garbage_instead_of_a_hello_is_refused(raw):
    raw.send(b"\xff\xff\xff\xff garbage")
    refused(raw, "no packet")


@pytest.mark.parametrize("garbage", [b"\xff" * 50, b"\x72", b"\x72\xff", b"\x72\x05abc", b"r\x00\x7a\xff"])
def test_garbage_after_the_hello_is_refused(raw, garbage):
    greeted(raw).send(garbage)
    refused(raw, "no packet")


def test_another_version_of_the_protocol_is_refused_by_name(raw):
    raw.hello(version=99)
    refused(raw, "99")


def test_a_packet_that_is_no_hello_is_refused_first(raw):
    raw.frame(calls=[call()])
    refused(raw, "version")


def test_a_packet_out_of_sequence_is_refused(raw):
    greeted(raw)
    raw.seq = 6
    raw.frame(calls=[call()])
    refused(raw, "packet 7 came after packet 0")


def test_a_duplicated_packet_takes_effect_once(raw):
    greeted(raw)
    for _ in range(3):
        raw.seq = 0
        raw.frame(calls=[call(1, "count", ("dup",))])
    raw.frame(calls=[call(2, "counted", ("dup",))])
    replies = [raw.reply(), raw.reply()]
    assert {reply.id: codec.loads(codec.Body(reply.data)) for reply in replies} == {1: 1, 2: 1}


@pytest.mark.parametrize(
    "bad",
    [
        {"part": 1},
        {"offset": 1 << 40},
        {"offset": 99},
        {"part": 1 << 20},
    ],
    ids=str,
)
def test_a_chunk_outside_what_was_announced_is_refused(raw, bad):
    greeted(raw).frame(calls=[call(parts=pb.Parts(transfer=5, sizes=[100]))])
    raw.frame(**chunk(5, b"x" * 10, **bad))
    refused(raw, "never announced")


def test_an_empty_chunk_is_refused(raw):
    greeted(raw).frame(calls=[call(parts=pb.Parts(transfer=5, sizes=[100]))])
    raw.frame(**chunk(5, b""))
    refused(raw, "never announced")


def test_a_chunk_that_is_larger_than_its_part_is_refused(raw):
    greeted(raw).frame(calls=[call(parts=pb.Parts(transfer=5, sizes=[10]))])
    raw.frame(**chunk(5, b"x" * 11))
    refused(raw, "never announced")


def test_chunks_of_an_unknown_transfer_are_ignored(raw):
    greeted(raw).frame(**chunk(77, b"x" * 100))
    raw.frame(calls=[call()])
    assert codec.loads(codec.Body(raw.reply().data)) == "hi"


@pytest.mark.parametrize("sizes", [[], [0], [0, 0], [1] * 70_000], ids=["none", "zero", "zeros", "too many"])
def test_an_announcement_that_makes_no_sense_is_refused(raw, sizes):
    greeted(raw).frame(calls=[call(parts=pb.Parts(transfer=5, sizes=sizes))])
    refused(raw, "makes no sense")


def test_a_transfer_announced_twice_is_refused(raw):
    greeted(raw).frame(
        calls=[
            call(1, parts=pb.Parts(transfer=5, sizes=[100])),
            call(2, parts=pb.Parts(transfer=5, sizes=[100])),
        ]
    )
    refused(raw, "makes no sense")


def test_a_huge_announcement_is_too_large_for_its_call_alone(raw):
    greeted(raw).frame(calls=[call(1, parts=pb.Parts(transfer=5, sizes=[1 << 60]))])
    reply = raw.reply()
    assert reply.status == pb.TOO_LARGE
    assert not reply.may_have_run
    raw.frame(calls=[call(2)])
    assert codec.loads(codec.Body(raw.reply().data)) == "hi"


def test_arguments_that_are_no_pickle_fail_their_call_alone(raw):
    greeted(raw).frame(calls=[pb.Call(id=1, actor=ACTOR, method="echo", data=b"no pickle")])
    reply = raw.reply()
    assert reply.status == pb.SERIALIZATION
    raw.frame(calls=[call(2)])
    assert codec.loads(codec.Body(raw.reply().data)) == "hi"


@pytest.mark.parametrize("value", [3, (1, 2, 3), ([], {}, []), ("a", "b"), ((), {1: 2})], ids=repr)
def test_a_pickle_that_is_no_argument_list_fails_its_call_alone(raw, value):
    greeted(raw).frame(calls=[pb.Call(id=1, actor=ACTOR, method="echo", data=bytes(codec.dumps(value).data))])
    reply = raw.reply()
    assert reply.status in {pb.SERIALIZATION, pb.EXCEPTION}
    raw.frame(calls=[call(2)])
    assert codec.loads(codec.Body(raw.reply().data)) == "hi"


def test_an_unknown_actor_fails_its_call_alone(raw):
    greeted(raw).frame(calls=[pb.Call(id=1, actor="test/none", method="echo", data=b"x")])
    assert raw.reply().status == pb.ACTOR_NOT_FOUND
    raw.frame(calls=[pb.Call(id=2, actor=ACTOR, method="__class__", data=b"x")])
    assert raw.reply().status == pb.METHOD_NOT_FOUND


def test_credits_and_cancels_of_unknown_calls_are_ignored(raw):
    greeted(raw).frame(
        credits=[pb.Credit(id=9, items=5)], cancels=[pb.Cancel(id=9)], replies=[pb.Reply(id=9)]
    )
    raw.frame(calls=[call()])
    assert codec.loads(codec.Body(raw.reply().data)) == "hi"


def test_credit_for_a_call_that_is_no_stream_is_ignored(raw):
    greeted(raw).frame(calls=[call(1, "hold", ("gate",))])
    raw.frame(credits=[pb.Credit(id=1, items=5)])
    raw.frame(calls=[call(2, "release", ("gate",))])
    assert {raw.reply().status, raw.reply().status} == {pb.OK}


def test_resuming_a_session_that_never_was_is_answered_with_no(raw):
    raw.hello(resume=True)
    welcome = raw.receive().welcome
    assert not welcome.resumed
    assert raw.status()[0] is grpc.StatusCode.OK


def test_a_client_that_claims_packets_it_was_never_sent_is_refused(hosted):
    session_id = "claims-too-much"
    with RawSession(hosted.address) as first:
        first.hello(session_id=session_id)
        first.receive()
    with RawSession(hosted.address) as second:
        second.hello(session_id=session_id, resume=True, received=1000)
        refused(second, "claims packet 1000")


def test_a_stream_that_says_nothing_and_leaves_is_forgotten(hosted):
    for _ in range(5):
        with RawSession(hosted.address):
            pass
    assert hosted.pool.call().echo(1) == 1
