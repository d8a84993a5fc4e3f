"""A shared token lets callers in before a byte of theirs is unpickled."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from iris_actor import ActorServer, Credentials, codec
from iris_actor._proto import session_pb2 as pb
from iris_actor.errors import AuthenticationError
from iris_actor.rpc.json_call import call_json, describe
from tests.support.lab import Lab
from tests.support.raw import RawSession
from tests.support.serving import NAME, hosting, lookup_at
from tests.support.waiting import Stopwatch

RIGHT = Credentials(token="the right token")
WRONG = Credentials(token="a wrong token")


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return _touch, (str(self.path),)


def _touch(path: str) -> None:
    Path(path).touch()


@pytest.fixture
def hosted():
    with hosting(Lab(), credentials=RIGHT) as hosted:
        yield hosted


def test_the_right_token_is_let_in(hosted):
    assert hosted.pool.call(timeout=10).echo(1) == 1
    assert list(hosted.pool.stream(timeout=10).items(3)) == [0, 1, 2]


@pytest.mark.parametrize("credentials", [None, WRONG], ids=["no token", "wrong token"])
@pytest.mark.parametrize("size", [1, 1_000_000], ids=["small", "large"])
def test_others_are_refused_before_anything_is_unpickled(hosted, tmp_path, credentials, size):
    touched = tmp_path / "touched"
    pool = lookup_at(hosted.address, credentials=credentials)
    watch = Stopwatch()
    with pytest.raises(AuthenticationError, match="token") as caught:
        pool.call(timeout=20).echo(Trap(touched), bytes(size))
    assert watch.seconds < 5, "nothing is retried"
    assert isinstance(caught.value, PermissionError)
    assert not caught.value.may_have_run
    assert not touched.exists()
    assert hosted.pool.call(timeout=10).echo(1) == 1


def test_the_trap_would_have_sprung_for_the_right_token(hosted, tmp_path):
    touched = tmp_path / "touched"
    hosted.pool.call(timeout=10).echo(Trap(touched))
    assert touched.exists()


@pytest.mark.parametrize("way", ["submit", "stream", "broadcast"])
def test_every_way_to_call_says_so(hosted, way):
    pool = lookup_at(hosted.address, credentials=WRONG)
    take = {
        "submit": lambda: pool.submit().echo(1).result(10),
        "stream": lambda: next(pool.stream().items(1)),
        "broadcast": lambda: [one.result() for one in pool.broadcast().echo(1).wait_all(timeout=10)],
    }[way]
    with pytest.raises(AuthenticationError):
        take()


async def test_a_coroutine_is_refused_too(hosted):
    with pytest.raises(AuthenticationError):
        await lookup_at(hosted.address, credentials=WRONG).acall(timeout=10).echo(1)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        [("authorization", "")],
        [("authorization", "Bearer ")],
        [("authorization", "the right token")],
        [("authorization", "Bearer the right token ")],
        [("authorization", "Bearer the right")],
    ],
    ids=str,
)
def test_a_raw_client_that_does_not_show_the_token_never_gets_to_send_a_call(hosted, tmp_path, metadata):
    touched = tmp_path / "touched"
    with RawSession(hosted.address, metadata) as raw:
        raw.hello()
        data = bytes(codec.dump_arguments("x", (Trap(touched),), {}).data)
        raw.frame(calls=[pb.Call(id=1, actor=f"test/{NAME}", method="echo", data=data)])
        code, _ = raw.status()
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert not touched.exists()


@pytest.mark.parametrize("credentials", [None, WRONG], ids=["no token", "wrong token"])
def test_unary_calls_and_descriptions_are_refused_too(hosted, credentials):
    with pytest.raises(AuthenticationError):
        call_json(hosted.address, NAME, "echo", "[1]", timeout=10, credentials=credentials)
    with pytest.raises(AuthenticationError):
        describe(hosted.address, timeout=10, credentials=credentials)
    assert call_json(hosted.address, NAME, "echo", "[1]", timeout=10, credentials=RIGHT) == "1"


def test_reflection_and_health_ask_for_the_token_as_well(hosted):
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    with grpc.insecure_channel(hosted.address) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        with pytest.raises(grpc.RpcError) as caught:
            next(reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(requests, timeout=10))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_server_with_a_token_may_listen_beyond_loopback():
    server = ActorServer(namespace="test", host="0.0.0.0", advertise_host="127.0.0.1", credentials=RIGHT)
    server.register(NAME, Lab())
    server.serve_background()
    assert lookup_at(server.address, credentials=RIGHT).call(timeout=10).echo(1) == 1
    server.stop()


def test_two_callers_with_different_tokens_do_not_share_a_connection(hosted):
    assert hosted.pool.call(timeout=10).echo(1) == 1
    with pytest.raises(AuthenticationError):
        lookup_at(hosted.address, credentials=WRONG).call(timeout=10).echo(1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "needs a token"),
        ({"server_name": "x"}, "needs a token"),
        ({"token": ""}, "printable ASCII"),
        ({"token": "naïve"}, "printable ASCII"),
        ({"token": "two\nlines"}, "printable ASCII"),
        ({"cert": "c.pem"}, "cert and key go together"),
        ({"token": "t", "key": "k.pem"}, "cert and key go together"),
    ],
)
def test_credentials_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Credentials(**fields)


def test_credentials_do_not_show_their_token():
    credentials = Credentials(token="secret-token", ca="ca.pem")
    for text in (repr(credentials), str(credentials), f"{credentials}", f"{[credentials]}"):
        assert "secret-token" not in text
        assert "***" in text
        assert "ca.pem" in text


def test_an_error_does_not_show_the_token(hosted):
    with pytest.raises(AuthenticationError) as caught:
        lookup_at(hosted.address, credentials=WRONG).call(timeout=10).echo(1)
    assert WRONG.token not in str(caught.value)
    assert RIGHT.token not in str(caught.value)
