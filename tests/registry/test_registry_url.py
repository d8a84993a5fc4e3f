"""Registry URLs: what is understood, and what is said about the rest."""

from __future__ import annotations

import pytest

from iris_actor.errors import InvalidURLError
from iris_actor.registry import RegistryURL, connect_registry


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("etcd://etcd:2379", {"hosts": ("etcd:2379",), "prefix": "/iris", "ttl": 10}),
        ("etcd://etcd", {"hosts": ("etcd:2379",)}),
        ("etcd://10.0.0.1:1,b.example:2,c", {"hosts": ("10.0.0.1:1", "b.example:2", "c:2379")}),
        ("etcd://[::1]:2379", {"hosts": ("[::1]:2379",)}),
        ("etcd://[::1]", {"hosts": ("[::1]:2379",)}),
        ("etcd://[fe80::1%eth0]:1,[::1]", {"hosts": ("[fe80::1%eth0]:1", "[::1]:2379")}),
        ("etcd://me:p@[::1]:1", {"hosts": ("[::1]:1",), "user": "me"}),
        ("etcd://h:1/", {"prefix": "/iris"}),
        ("etcd://h:1/team/a/", {"prefix": "/team/a"}),
        ("etcd://h:1/team?ttl=30", {"prefix": "/team", "ttl": 30}),
        ("etcd://me:p%40ss%3A%2F@h:1", {"user": "me", "password": "p@ss:/"}),
        ("etcd://me:@h:1", {"user": "me", "password": ""}),
        ("etcd://h:1?ca=/a/ca.pem", {"ca": "/a/ca.pem", "cert": None}),
        ("etcd://h:1?ca=c%26a&cert=c&key=k", {"ca": "c&a", "cert": "c", "key": "k"}),
        ("memory://", {"scheme": "memory", "name": ""}),
        ("memory://tests", {"scheme": "memory", "name": "tests"}),
    ],
)
def test_what_a_url_says(text, fields):
    url = RegistryURL.parse(text)
    assert {name: getattr(url, name) for name in fields} == fields
    assert RegistryURL.parse(url.text) == url


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no scheme"),
        ("localhost:2379", "no scheme"),
        ("http://h:2379", "unknown scheme 'http'"),
        ("etcd://", "the host is missing"),
        ("etcd:///prefix", "the host is missing"),
        ("etcd://:2379", "the host is missing"),
        ("etcd://a:1,,b:2", "the host is missing"),
        ("etcd://a b:1", "no host name"),
        ("etcd://h\u00f6st:1", "not ASCII"),
        ("etcd://256.0.0.1:1", "no IPv4 address"),
        ("etcd://[::g]:1", "no IPv6 address"),
        ("etcd://[h]:1", "no IPv6 address"),
        ("etcd://http://h:1", "'' is no such port"),
        ("etcd://::1:2379", "brackets"),
        ("etcd://h:port", "'port' is no such port"),
        ("etcd://h:", "'' is no such port"),
        ("etcd://h:0", "'0' is no such port"),
        ("etcd://h:65536", "'65536' is no such port"),
        ("etcd://h:-1", "'-1' is no such port"),
        ("etcd://h:1/a//b", "bad segment ''"),
        ("etcd://h:1/a b", "bad segment 'a b'"),
        ("etcd://h:1?ttl=ten", "ttl must be a whole number"),
        ("etcd://h:1?ttl=0", "from 1 to 86400"),
        ("etcd://h:1?ttl=-1", "ttl must be a whole number"),
        ("etcd://h:1?ttl=1.5", "ttl must be a whole number"),
        ("etcd://h:1?ttl=90000", "from 1 to 86400"),
        ("etcd://h:1?ttl", "has no value"),
        ("etcd://h:1?ttl=", "has no value"),
        ("etcd://h:1?ttl=1&ttl=2", "given twice"),
        ("etcd://h:1?timeout=1", "unknown option 'timeout'"),
        ("etcd://h:1?", "unknown option ''"),
        ("etcd://h:1?cert=c&ca=a", "cert and key must both"),
        ("etcd://h:1?key=k&ca=a", "cert and key must both"),
        ("etcd://h:1?cert=c&key=k", "need a ca"),
        ("etcd://h:1#part", "no fragment"),
        ("etcd://me@h:1", "user:password"),
        ("etcd://:secret@h:1", "user:password"),
        ("etcd://@h:1", "user:password"),
        ("memory://a/b", "no name"),
        ("memory://a?ttl=1", "no options"),
    ],
)
def test_a_bad_url_is_refused_with_the_reason(text, reason):
    with pytest.raises(InvalidURLError) as caught:
        connect_registry(text)
    assert reason in caught.value.reason
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("url", [None, 2379, b"etcd://h:1", object()])
def test_what_is_neither_url_nor_registry_is_refused(url):
    with pytest.raises(TypeError):
        connect_registry(url)


@pytest.mark.parametrize(
    "text",
    [
        "etcd://me:secret@h:port",
        "etcd://me:secret@h:1?what=1",
        "etcd://me:secret@h:1?ttl=0",
        "http://me:secret@h:1",
        "etcd://me:secret@,",
    ],
)
def test_no_error_shows_the_password(text):
    with pytest.raises(InvalidURLError) as caught:
        RegistryURL.parse(text)
    assert "secret" not in str(caught.value)
    assert "secret" not in caught.value.url


def test_a_url_shows_its_password_only_as_text():
    url = RegistryURL.parse("etcd://me:secret@h:1")
    assert "secret" not in str(url)
    assert "secret" not in repr(url)
    assert "secret" in url.text


def test_keywords_complete_a_url(tmp_path):
    for name in ("ca", "cert", "key"):
        (tmp_path / name).touch()
    with connect_registry(
        "etcd://h:1?ttl=3",
        user="me",
        password="p@ss",
        ca=tmp_path / "ca",
        cert=tmp_path / "cert",
        key=str(tmp_path / "key"),
        ttl=20,
    ) as registry:
        url = RegistryURL.parse(registry.url)
        assert (url.user, url.password, url.ttl) == ("me", "p@ss", 20)
        assert (url.ca, url.cert, url.key) == tuple(str(tmp_path / name) for name in ("ca", "cert", "key"))
        assert "p@ss" not in repr(registry)


def test_keywords_are_checked_too(tmp_path):
    with pytest.raises(InvalidURLError, match="user and password"):
        connect_registry("etcd://h:1", user="me")
    with pytest.raises(InvalidURLError, match="ttl"):
        connect_registry("etcd://h:1", ttl=0)
    with pytest.raises(InvalidURLError, match="cannot read"):
        connect_registry("etcd://h:1", ca=tmp_path / "missing")
    with pytest.raises(TypeError):
        connect_registry("memory://", ttl=3)
