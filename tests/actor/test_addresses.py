"""Hosts and addresses that users give to servers and resolvers; IPv6 too, and none is refused at once."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from iris_actor import ActorServer, EtcdResolver, FixedResolver
from iris_actor.address import Address
from iris_actor.errors import InvalidAddressError, InvalidURLError
from iris_actor.testing import EtcdProcess
from tests.support.lab import Lab
from tests.support.proxy import Proxy
from tests.support.serving import NAME, hosting, lookup_at
from tests.support.waiting import until


def link_local() -> str | None:
    """An address of this machine with a zone id, if it has one."""
    for line in Path("/proc/net/if_inet6").read_text().splitlines():
        digits, _, _, scope, _, name = line.split()
        if scope == "20":
            return f"{socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))}%{name}"
    return None


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:80", "host", "host:0", ":80", "::1:80", "unix:/x", "h\u00f6st:1"]
)
@pytest.mark.parametrize("several", [False, True])
def test_an_address_that_is_none_is_refused_by_a_fixed_resolver(address, several):
    with pytest.raises(InvalidAddressError) as caught:
        FixedResolver({"a": ["host:1", address] if several else address})
    assert isinstance(caught.value, ValueError)
    assert caught.value.value == address


@pytest.mark.parametrize(
    "host", ["http://127.0.0.1", "127.0.0.1:80", "", "a b", "[host]", "::1%", "127.1", 1, None]
)
@pytest.mark.parametrize("way", ["host", "advertise_host"])
def test_a_host_that_is_none_is_refused_by_a_server(way, host):
    if way == "advertise_host" and host is None:
        return  # that is how it is left out
    with pytest.raises(InvalidAddressError) as caught:
        ActorServer(namespace="test", **{way: host})
    assert caught.value.value == host


def test_a_host_in_the_environment_is_refused_by_the_variables_name(monkeypatch):
    monkeypatch.setenv("IRIS_ADVERTISE_HOST", "http://me")
    with pytest.raises(InvalidAddressError, match="IRIS_ADVERTISE_HOST") as caught:
        ActorServer(namespace="test")
    assert caught.value.value == "http://me"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]"])
def test_what_nobody_can_connect_to_is_not_advertised(host):
    with pytest.raises(InvalidAddressError, match="nobody can connect"):
        ActorServer(namespace="test", advertise_host=host)


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ({"host": "::1"}, "[::1]"),
        ({"host": "[::1]"}, "[::1]"),
        ({"host": "::1", "advertise_host": "localhost"}, "localhost"),
        ({"host": "127.0.0.1", "advertise_host": "localhost"}, "localhost"),
        ({"host": "::", "advertise_host": "[::1]"}, "[::1]"),
        ({"host": "::ffff:127.0.0.1"}, "[::ffff:127.0.0.1]"),
        ({"host": "::"}, None),
        ({"host": "[::]"}, None),
        ({"host": "0.0.0.0"}, None),
    ],
    ids=str,
)
def test_an_actor_is_announced_and_called_at_the_host_of_its_server(etcd, namespace, server, told):
    with ActorServer(etcd.url, namespace=namespace, insecure=True, **server) as serving:
        serving.register(NAME, Lab())
        port = serving.serve_background()
        with EtcdResolver(etcd.url, namespace=namespace) as resolver:
            pool = resolver.lookup(NAME)
            pool.wait_for_size(1, timeout=10)
            address = pool.endpoints()[0].address
            assert Address.parse(address).port == port
            if told is not None:
                assert address == f"{told}:{port}"
            assert pool.call(timeout=10).echo(1) == 1


@pytest.mark.parametrize("host", ["::1", "127.0.0.1", "127.9.9.9", "localhost", "::ffff:127.0.0.1"])
def test_loopback_needs_no_credentials(host):
    with ActorServer(namespace="test", host=host) as server:
        server.register(NAME, Lab())
        server.serve_background()
        assert lookup_at(server.address).call(timeout=10).echo(1) == 1


def test_a_host_with_a_zone_id_is_bound_and_called():
    host = link_local()
    if host is None:
        pytest.skip("this machine has no link-local address")
    with ActorServer(namespace="test", host=host, insecure=True) as server:
        server.register(NAME, Lab())
        port = server.serve_background()
        assert server.address == f"[{host}]:{port}"
        assert lookup_at(server.address).call(timeout=10).echo(1) == 1


def test_a_name_that_leads_nowhere_is_not_advertised(monkeypatch):
    for name in ("nowhere.invalid", "no host name", "example.org"):
        monkeypatch.setattr(socket, "gethostname", lambda name=name: name)
        with ActorServer(namespace="test", host="0.0.0.0", insecure=True) as server:
            server.register(NAME, Lab())
            server.serve_background()
            told = Address.parse(server.address)
            assert told.is_literal or told.is_loopback, told
            assert lookup_at(server.address).call(timeout=10).echo(1) == 1


def test_a_server_that_localhost_reaches_over_ipv6_only_is_found_again_after_a_break(monkeypatch):
    monkeypatch.setenv("IRIS_LANE", "off")
    lab = Lab()
    with hosting(lab) as hosted, Proxy(hosted.address, host="::1") as proxy:
        pool = lookup_at(f"localhost:{Address.parse(proxy.address).port}")
        future = pool.submit().hold("x")
        until(lambda: lab.counted("x"))
        proxy.hang_up()
        proxy.hang_up(hanging=False)
        lab.release("x")
        assert future.result(20).startswith("x in ")
    assert lab.counted("x") == 1


@pytest.mark.parametrize("host", ["[::1]", "localhost"])
def test_a_registry_may_listen_on_ipv6(namespace, host):
    with EtcdProcess() as etcd:
        port = etcd.port
    with EtcdProcess(port=port, options={"listen-client-urls": f"http://[::1]:{port}"}) as etcd:
        url = f"etcd://{host}:{port}"
        with (
            ActorServer(url, namespace=namespace) as server,
            EtcdResolver(url, namespace=namespace) as resolver,
        ):
            server.register(NAME, Lab())
            server.serve_background()
            assert resolver.lookup(NAME).call(timeout=10).echo(1) == 1


def test_an_address_in_a_registrys_url_is_refused_as_part_of_the_url():
    with pytest.raises(InvalidURLError, match="in brackets"):
        ActorServer("etcd://::1:2379")
    with pytest.raises(InvalidURLError, match="no such port"):
        EtcdResolver("etcd://host:port")
