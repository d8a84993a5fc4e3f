"""Mutual TLS: both sides prove who they are."""

from __future__ import annotations

import numpy as np
import pytest

from iris_actor import ActorServer, Credentials
from iris_actor.errors import AuthenticationError, CallError
from iris_actor.rpc.json_call import call_json
from tests.support.certificates import Authority
from tests.support.lab import Lab
from tests.support.serving import NAME, hosting, lookup_at
from tests.support.waiting import Stopwatch


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ours"), "our-ca")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("theirs"), "their-ca")


def credentials(authority: Authority, name: str, **more) -> Credentials:
    pair = authority.issue(name)
    return Credentials(**{"ca": authority.ca, "cert": pair.cert, "key": pair.key, **more})


@pytest.fixture
def hosted(authority):
    with hosting(Lab(), credentials=credentials(authority, "server")) as hosted:
        yield hosted


def refused(address: str, shown: Credentials | None) -> None:
    watch = Stopwatch()
    with pytest.raises(AuthenticationError) as caught:
        lookup_at(address, credentials=shown).call(timeout=20).echo(1)
    assert not caught.value.may_have_run
    assert watch.seconds < 10


def test_a_certificate_of_our_authority_is_let_in(hosted, authority):
    pool = lookup_at(hosted.address, credentials=credentials(authority, "client"))
    assert pool.call(timeout=10).echo(1) == 1
    array = np.arange(3_000_000)
    assert np.array_equal(pool.call(timeout=20).echo(array), array)


def test_a_caller_without_a_certificate_is_refused(hosted, authority):
    refused(hosted.address, Credentials(ca=authority.ca))
    assert hosted.pool.call(timeout=10).echo(1) == 1


def test_a_caller_with_a_certificate_of_another_authority_is_refused(hosted, authority, stranger):
    refused(hosted.address, credentials(stranger, "client", ca=authority.ca))
    assert hosted.pool.call(timeout=10).echo(1) == 1


def test_a_server_of_another_authority_is_not_trusted(authority, stranger):
    with hosting(Lab(), credentials=credentials(stranger, "server", ca=authority.ca)) as impostor:
        refused(impostor.address, credentials(authority, "client"))


def test_a_server_whose_certificate_is_for_another_name_is_not_trusted(authority):
    pair = authority.issue("elsewhere", address=None)
    shown = Credentials(ca=authority.ca, cert=pair.cert, key=pair.key)
    with hosting(Lab(), credentials=shown) as hosted:
        refused(hosted.address, credentials(authority, "client"))
        named = credentials(authority, "client", server_name="elsewhere")
        assert lookup_at(hosted.address, credentials=named).call(timeout=10).echo(1) == 1


def test_a_caller_in_clear_text_is_an_error_in_time(hosted):
    with pytest.raises(CallError) as caught:
        lookup_at(hosted.address, resolve_timeout=1).call(timeout=5).echo(1)
    assert not isinstance(caught.value, TimeoutError) or caught.value.target
    assert hosted.pool.call(timeout=10).echo(1) == 1


def test_a_caller_with_tls_and_a_server_without_is_an_error_in_time(authority):
    with hosting(Lab()) as hosted:
        with pytest.raises(CallError):
            lookup_at(hosted.address, credentials=credentials(authority, "client"), resolve_timeout=1).call(
                timeout=5
            ).echo(1)


def test_tls_and_a_token_are_both_asked_for(authority):
    both = credentials(authority, "server", token="secret")
    with hosting(Lab(), credentials=both) as hosted:
        assert hosted.pool.call(timeout=10).echo(1) == 1
        refused(hosted.address, credentials(authority, "client"))
        refused(hosted.address, credentials(authority, "client", token="wrong"))
        right = credentials(authority, "client", token="secret")
        assert lookup_at(hosted.address, credentials=right).call(timeout=10).echo(1) == 1


def test_a_server_without_an_authority_asks_for_no_certificate(authority):
    pair = authority.issue("server-only")
    with hosting(Lab(), credentials=Credentials(cert=pair.cert, key=pair.key)) as hosted:
        only_ca = Credentials(ca=authority.ca)
        assert lookup_at(hosted.address, credentials=only_ca).call(timeout=10).echo(1) == 1


def test_unary_calls_go_over_tls_too(hosted, authority):
    shown = credentials(authority, "client")
    assert call_json(hosted.address, NAME, "echo", '["hi"]', timeout=10, credentials=shown) == '"hi"'


def test_a_server_needs_a_certificate_of_its_own(authority):
    server = ActorServer(namespace="test", credentials=Credentials(ca=authority.ca))
    with pytest.raises(ValueError, match="needs cert and key"):
        server.serve_background()
    server.stop()


def test_a_file_that_cannot_be_read_is_named(authority, tmp_path):
    missing = Credentials(ca=authority.ca, cert=tmp_path / "no.pem", key=tmp_path / "no.key")
    server = ActorServer(namespace="test", credentials=missing)
    with pytest.raises(OSError, match=r"no\.key|no\.pem"):
        server.serve_background()
    server.stop()
    with hosting(Lab()) as hosted:
        with pytest.raises(AuthenticationError, match=r"no\.key|no\.pem"):
            lookup_at(hosted.address, credentials=missing).call(timeout=10).echo(1)
