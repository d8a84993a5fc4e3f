"""Two sides that do not fit, and strangers at the address: the caller is told at once what is wrong."""

from __future__ import annotations

import pytest

from iris_actor import ActorServer, Credentials, FixedResolver
from iris_actor.errors import AuthenticationError, CallError, ProtocolError, ServerUnavailableError
from iris_actor.rpc.json_call import call_json, describe
from tests.support.certificates import Authority
from tests.support.lab import Lab
from tests.support.serving import NAME, hosting, lookup_at
from tests.support.strangers import listener
from tests.support.waiting import Stopwatch

AT_ONCE = 8.0
"""Seconds; well below the 30 that each call is given."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ours"), "our-ca")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("theirs"), "their-ca")


def with_pair(authority: Authority, name: str, **more) -> Credentials:
    pair = authority.issue(name, address=more.pop("address", "127.0.0.1"))
    return Credentials(**{"cert": pair.cert, "key": pair.key, **more})


@pytest.fixture(scope="module")
def tls(authority):
    with hosting(Lab(), credentials=with_pair(authority, "tls")) as hosted:
        yield hosted.address


@pytest.fixture(scope="module")
def mutual(authority):
    with hosting(Lab(), credentials=with_pair(authority, "mutual", ca=authority.ca)) as hosted:
        yield hosted.address


@pytest.fixture(scope="module")
def plain():
    with hosting(Lab()) as hosted:
        yield hosted.address


def by_session(address: str, credentials: Credentials | None) -> None:
    lookup_at(address, credentials=credentials, resolve_timeout=30).call(timeout=30).echo(1)


def by_json(address: str, credentials: Credentials | None) -> None:
    call_json(address, NAME, "echo", "[1]", timeout=30, credentials=credentials)


def by_describe(address: str, credentials: Credentials | None) -> None:
    describe(address, timeout=30, credentials=credentials)


WAYS = [by_session, by_json, by_describe]
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


def told(way, address: str, credentials: Credentials | None, kind: type[CallError]) -> str:
    clock = Stopwatch()
    with pytest.raises(kind) as caught:
        way(address, credentials)
    assert clock.seconds < AT_ONCE
    assert not caught.value.may_have_run
    assert address.partition(":")[0] in str(caught.value)
    return str(caught.value)


@each_way
@pytest.mark.parametrize("server", ["tls", "mutual"])
@pytest.mark.parametrize("token", [None, "token"])
def test_a_caller_in_clear_text_is_told_that_the_server_uses_tls(way, request, server, token):
    shown = Credentials(token=token) if token else None
    said = told(way, request.getfixturevalue(server), shown, AuthenticationError)
    assert "uses TLS and this side does not: give it the ca" in said


@each_way
def test_a_caller_with_tls_is_told_that_the_server_does_not_use_it(way, plain, authority):
    said = told(way, plain, Credentials(ca=authority.ca), AuthenticationError)
    assert "does not use TLS and this side does: leave out ca, cert and key" in said


@each_way
def test_a_caller_without_a_certificate_is_told_that_one_is_asked_for(way, mutual, authority):
    said = told(way, mutual, Credentials(ca=authority.ca), AuthenticationError)
    assert "asks for a certificate: give cert and key" in said


@each_way
def test_a_caller_whose_certificate_is_not_accepted_is_told_which(way, mutual, authority, stranger):
    shown = with_pair(stranger, "client", ca=authority.ca)
    said = told(way, mutual, shown, AuthenticationError)
    assert f"does not accept cert={str(shown.cert)!r}" in said


@each_way
@pytest.mark.parametrize("server", ["tls", "mutual"])
def test_a_caller_whose_ca_does_not_match_is_told_which(way, request, server, stranger):
    said = told(way, request.getfixturevalue(server), Credentials(ca=stranger.ca), AuthenticationError)
    assert f"does not match ca={str(stranger.ca)!r}" in said


@each_way
def test_a_caller_without_a_ca_is_told_that_none_is_given(way, mutual, authority):
    said = told(way, mutual, with_pair(authority, "client"), AuthenticationError)
    assert "for want of a ca" in said


@each_way
def test_a_certificate_for_another_name_is_told(way, authority):
    shown = with_pair(authority, "elsewhere", address=None)
    with hosting(Lab(), credentials=shown) as hosted:
        said = told(way, hosted.address, Credentials(ca=authority.ca), AuthenticationError)
    assert "is for another name than '127.0.0.1'" in said
    assert "server_name" in said


@each_way
def test_files_that_do_not_belong_together_are_named(way, tls, authority):
    one, other = authority.issue("one"), authority.issue("other")
    shown = Credentials(ca=authority.ca, cert=one.cert, key=other.key)
    said = told(way, tls, shown, AuthenticationError)
    assert str(one.cert) in said
    assert str(other.key) in said


@each_way
@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_token_that_is_missing_or_wrong_is_told(way, token):
    with hosting(Lab(), credentials=Credentials(token="right")) as hosted:
        shown = Credentials(token=token) if token else None
        said = told(way, hosted.address, shown, AuthenticationError)
    assert "wrong or missing token" in said


@each_way
@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize(
    ("greeting", "what"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a server of HTTP/1"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "an SSH server"),
        (b"220 mail ESMTP\r\n", "something that begins with b'220 mail ESMTP"),
    ],
)
def test_what_is_no_grpc_server_is_told(way, secure, greeting, what, authority):
    shown = Credentials(ca=authority.ca) if secure else None
    with listener(greeting) as address:
        assert what in told(way, address, shown, ProtocolError)


@each_way
def test_a_grpc_server_that_is_not_ours_is_told(way, etcd):
    assert "speaks gRPC and is no server of iris_actor" in told(
        way, f"127.0.0.1:{etcd.port}", None, ProtocolError
    )


def impatiently(address: str, credentials: Credentials | None) -> None:
    # It may come up, so that a call looks for as long as it is told to.
    lookup_at(address, credentials=credentials, resolve_timeout=0.5).call(timeout=30).echo(1)


@pytest.mark.parametrize("way", [impatiently, by_json, by_describe])
def test_a_port_where_nothing_listens_is_told(way):
    with listener(b"") as address:
        pass
    assert f"nothing listens at {address}" in told(way, address, None, ServerUnavailableError)


@pytest.mark.parametrize("way", [impatiently, by_json, by_describe])
def test_a_host_that_is_none_is_told(way):
    said = told(way, "nowhere.invalid:80", None, ServerUnavailableError)
    assert "there is no host 'nowhere.invalid'" in said


def test_a_listener_that_hangs_up_without_a_word_may_come_to_its_senses():
    with (
        listener(b"") as address,
        pytest.raises(ServerUnavailableError, match="closes connections without a word"),
    ):
        lookup_at(address, resolve_timeout=0.5).call(timeout=30).echo(1)


def test_a_listener_that_says_nothing_is_told_when_it_had_its_time():
    with (
        listener(None) as address,
        pytest.raises(ServerUnavailableError, match="accepts connections and says nothing"),
    ):
        lookup_at(address, resolve_timeout=0.5).call(timeout=40).echo(1)


def test_calls_go_to_a_server_that_fits_while_others_do_not(tls):
    with hosting(Lab()) as plain, listener(b"SSH-2.0-x\r\n") as ssh:
        resolver = FixedResolver({NAME: [tls, ssh, plain.address]}, namespace="test")
        pool = resolver.lookup(NAME)
        assert [pool.call(timeout=20).echo(number) for number in range(12)] == list(range(12))


def test_a_pool_of_none_that_fits_says_so_at_once(tls, mutual):
    with listener(b"SSH-2.0-x\r\n") as ssh:
        for _ in range(3):
            clock = Stopwatch()
            with pytest.raises((AuthenticationError, ProtocolError)):
                lookup_at(tls, ssh, mutual, resolve_timeout=30).call(timeout=30).echo(1)
            assert clock.seconds < AT_ONCE


def test_a_server_that_uses_tls_when_it_comes_back_is_told(authority):
    lab = Lab()
    with hosting(lab) as hosted:
        port = hosted.server.serve_background()
        assert hosted.pool.call(timeout=10).echo(1) == 1
    with ActorServer(namespace="test", port=port, credentials=with_pair(authority, "tls")) as server:
        server.register(NAME, Lab())
        server.serve_background()
        said = told(
            lambda *_: hosted.pool.call(timeout=30).echo(1), hosted.address, None, AuthenticationError
        )
    assert "uses TLS" in said
