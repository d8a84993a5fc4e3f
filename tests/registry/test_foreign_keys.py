"""Whatever one value under the prefix is, only that key is passed over, with one warning."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from iris_actor import ActorServer, EtcdResolver
from iris_actor.errors import ActorNotFoundError
from iris_actor.etcd.stubs import etcd3
from iris_actor.registry import Endpoint, Registry, connect_registry
from iris_actor.registry.endpoint_keys import EndpointKeys, encode
from tests.registry.conftest import etcd_url
from tests.support.lab import Lab
from tests.support.waiting import Stopwatch, until


def record(**fields: Any) -> bytes:
    return json.dumps({"address": "127.0.0.1:1", **fields}).encode()


UNREADABLE = {
    "nothing": b"",
    "no UTF-8": b"\xff\xfe\x00",
    "a list": b"[1, 2]",
    "a number": b"1",
    "null": b"null",
    "no address": b"{}",
    "an address that is no text": record(address=["127.0.0.1:1"]),
    "a URL": record(address="tcp://somewhere:1"),
    "a port that is no number": record(address="127.0.0.1:notaport"),
    "a port out of range": record(address="127.0.0.1:65536"),
    "an empty address": record(address=""),
    "a Unix address": record(address="unix:/tmp/nothing"),
    "an address with a line break": record(address="127.0.0.1:1\n"),
    "metadata that are a list": record(metadata=[1]),
    "an infinite pid": record(pid=float("inf")),
    "a pid of 5000 digits": b'{"address": "127.0.0.1:1", "pid": ' + b"9" * 5000 + b"}",
    "a time that is no number": record(started_at=float("nan")),
    "a time that never comes": b'{"address": "127.0.0.1:1", "started_at": 1e999}',
    "nesting without end": b"[" * 100_000,
    "nesting in metadata": b'{"address": "127.0.0.1:1", "metadata": {"a": ' + b"[" * 100_000,
}
FOREIGN = {
    "too short": "endpoints/{ns}/short",
    "no namespace": "endpoints/alone",
    "empty segments": "endpoints/{ns}//a/",
    "letters that names do not have": "endpoints/{ns}/caf\u00e9 \n/x",
    "a control sequence": "endpoints/{ns}/\x1b[2J/x",
    "another folder": "workers/{ns}/a/x",
    "the folder itself": "endpoints/",
}


@pytest.fixture
def url(etcd, namespace) -> str:
    """A registry with a prefix of its own."""
    return etcd_url(etcd, namespace)


@pytest.fixture
def registry(url) -> Iterator[Registry]:
    with connect_registry(url) as registry:
        yield registry


@pytest.fixture
def client(etcd) -> Iterator[Any]:
    """etcd, past all rules."""
    client = etcd3.client("127.0.0.1", etcd.port)
    yield client
    client.close()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_unreadable_value_hides_no_other(registry, client, make_endpoint, namespace, value, caplog):
    early = registry.directory(namespace)
    assert early.wait_synced(10)
    client.put(f"/{namespace}/endpoints/{namespace}/bad/x", value)
    good = [make_endpoint("bad"), make_endpoint("good")]
    for endpoint in good:
        registry.register(endpoint)
    until(lambda: early.endpoints(good[1].name))
    with connect_registry(f"{registry.url}?ttl=11") as other:
        late = other.directory(namespace)
        assert late.wait_synced(10)
        for directory in (early, late):
            assert [directory.endpoints(each.name) for each in good] == [(good[0],), (good[1],)]
            assert directory.trouble is None
        assert other.list() == good
        assert other.names() == [each.name for each in good]
    assert len(warnings(caplog)) == 2, "one for each of the two registries"
    assert all("/bad/x" in warning for warning in warnings(caplog))


@pytest.mark.parametrize("key", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_key_of_another_form_hides_nothing(registry, client, make_endpoint, namespace, key):
    early = registry.directory(namespace)
    assert early.wait_synced(10)
    client.put(f"/{namespace}/{key.format(ns=namespace)}", record())
    endpoint = make_endpoint()
    registry.register(endpoint)
    until(lambda: early.endpoints(endpoint.name))
    assert registry.list() == [endpoint]
    assert registry.names() == early.names() == [endpoint.name]
    client.delete(f"/{namespace}/{key.format(ns=namespace)}")
    last = make_endpoint("last")
    registry.register(last)
    until(lambda: early.endpoints(last.name))
    assert early.endpoints(endpoint.name) == (endpoint,)


def test_a_key_is_warned_of_once_however_often_it_is_read(registry, client, namespace, caplog):
    directory = registry.directory(namespace)
    assert directory.wait_synced(10)
    for number in range(5):
        client.put(f"/{namespace}/endpoints/{namespace}/bad/x", b"%d" % number)
        assert registry.list() == []
    client.put(f"/{namespace}/endpoints/{namespace}/bad/y", b"")
    until(lambda: len(warnings(caplog)) == 2)
    registry.list()
    assert len(warnings(caplog)) == 2


def test_thousands_of_foreign_keys_hide_nothing_and_do_not_fill_the_log(
    registry, client, make_endpoint, namespace, caplog
):
    first = make_endpoint("aaa")
    registry.register(first)
    for start in range(0, 5000, 100):
        puts = [
            client.transactions.put(f"/{namespace}/endpoints/{namespace}/m/{number}", "foreign")
            for number in range(start, start + 100)
        ]
        client.transaction([], puts, [])
    last = make_endpoint("zzz")
    registry.register(last)
    with connect_registry(f"{registry.url}?ttl=11") as other:
        directory = other.directory(namespace)
        assert directory.wait_synced(20)
        assert directory.names() == [first.name, last.name]
        assert other.list(timeout=20) == [first, last]
    assert 0 < len(warnings(caplog)) < 100


def test_a_value_that_turns_readable_is_found(registry, client, make_endpoint, namespace):
    directory = registry.directory(namespace)
    assert directory.wait_synced(10)
    endpoint = make_endpoint()
    key = f"/{namespace}/endpoints/{endpoint.name}/{endpoint.actor_id}"
    client.put(key, b"not yet")
    registry.register(make_endpoint("other"))
    until(lambda: len(directory.names()) == 1)
    client.put(key, encode(endpoint))
    assert until(lambda: directory.endpoints(endpoint.name)) == (endpoint,)
    assert endpoint in registry.list()


@pytest.mark.parametrize("value", [b"", record(address="127.0.0.1:notaport"), b"[" * 100_000])
def test_an_endpoint_whose_value_turns_unreadable_is_gone(registry, client, make_endpoint, namespace, value):
    directory = registry.directory(namespace)
    one, other = make_endpoint(), make_endpoint()
    for endpoint in (one, other):
        client.put(f"/{namespace}/endpoints/{endpoint.name}/{endpoint.actor_id}", encode(endpoint))
    until(lambda: directory.endpoints(one.name) == (one, other))
    client.put(f"/{namespace}/endpoints/{one.name}/{one.actor_id}", value)
    assert until(lambda: directory.endpoints(one.name) == (other,))
    assert registry.list() == [other]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:1", "host:65535", "no_such_host.invalid:9999", "a-b.c:80", "[::1]:4711", "[fe80::1%eth0]:1"],
)
def test_addresses_of_every_kind_are_read(address):
    keys = EndpointKeys("/iris")
    endpoint = keys.decode(b"/iris/endpoints/ns/a/x", record(address=address))
    assert isinstance(endpoint, Endpoint)
    assert endpoint.address == address


def test_what_is_written_is_read_back(make_endpoint):
    keys = EndpointKeys("/iris")
    endpoint = make_endpoint(pid=7, host="h", metadata={"zone": "a"}, started_at=12.5, job_id="j/w")
    assert keys.decode(keys.key(endpoint), encode(endpoint)) == endpoint


# --- calls ------------------------------------------------------------------------------------------


@pytest.fixture
def served(url, namespace) -> Iterator[ActorServer]:
    with ActorServer(url, namespace=namespace) as server:
        server.register("lab", Lab())
        server.serve_background()
        yield server


@pytest.mark.parametrize("address", ["127.0.0.1:notaport", "tcp://somewhere:1", "", "unix:/tmp/x"])
def test_calls_pass_over_an_address_that_is_none(url, served, client, namespace, address):
    client.put(f"/{namespace}/endpoints/{namespace}/lab/zz", record(address=address))
    with EtcdResolver(url, namespace=namespace) as resolver:
        pool = resolver.lookup("lab")
        watch = Stopwatch()
        assert [pool.call(timeout=20).echo(number) for number in range(10)] == list(range(10))
        assert watch.seconds < 5
        assert pool.size == 1


def test_calls_go_around_an_address_where_nobody_is(url, served, client, namespace):
    client.put(f"/{namespace}/endpoints/{namespace}/lab/zz", record())
    with EtcdResolver(url, namespace=namespace) as resolver:
        pool = resolver.lookup("lab")
        assert pool.size == 2
        assert [pool.call(timeout=20).echo(number) for number in range(10)] == list(range(10))


def test_a_call_of_a_name_that_has_only_an_unreadable_entry_is_told_so(url, client, namespace):
    client.put(f"/{namespace}/endpoints/{namespace}/bad/x", b"")
    with EtcdResolver(url, namespace=namespace) as resolver:
        with pytest.raises(ActorNotFoundError, match=r"there is an entry .* readable"):
            resolver.lookup("bad").call(timeout=1).echo(1)
