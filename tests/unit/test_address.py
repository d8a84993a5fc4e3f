"""Addresses: what is one, what is none, and how it is written."""

from __future__ import annotations

import pickle

import pytest

from iris_actor.address import Address
from iris_actor.errors import InvalidAddressError

NONE = [
    "",
    "host",
    "host:",
    "host:notaport",
    "host:0",
    "host:-1",
    "host:65536",
    "host:999999",
    "host:8 0",
    "host:80 ",
    "host:80\n",
    "host:\u0668\u0660",  # digits, but not ASCII
    ":80",
    "http://host:80",
    "https://[::1]:80",
    "tcp://host:80",
    "etcd://host:2379",
    "unix:/run/socket",
    "unix:///run/socket",
    "host:80/path",
    "user@host:80",
    " host:80",
    "ho st:80",
    "h\u00f6st:80",
    "-host:80",
    "a..b:80",
    f"{'a' * 64}:80",
    ".".join(["abc"] * 80) + ":80",
    "::1",
    "::1:80",
    "fe80::1%eth0:80",
    "[::1]",
    "[::1]80",
    "[::1]:",
    "[::1:80",
    "::1]:80",
    "[]:80",
    "[host]:80",
    "[127.0.0.1]:80",
    "[::g]:80",
    "[fe80::1%]:80",
    "[fe80::1%et h0]:80",
    "127.1:80",
    "256.0.0.1:80",
    "1.2.3.4.5:80",
    80,
    None,
    b"host:80",
    ("host", 80),
]


@pytest.mark.parametrize("value", NONE, ids=repr)
def test_what_is_no_address_is_refused_with_the_value_and_the_rule(value):
    with pytest.raises(ValueError, match=r"host") as caught:
        Address.parse(value)
    assert isinstance(caught.value, InvalidAddressError)
    assert caught.value.value == value
    assert repr(value)[:190] in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_an_error_about_something_endless_is_short():
    with pytest.raises(InvalidAddressError) as caught:
        Address.parse("host:" + "9" * 10_000)
    assert len(str(caught.value)) < 500 or caught.value.rule.count("9") > 9000


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("host:80", "host", 80),
        ("a.b-c.example.org:65535", "a.b-c.example.org", 65535),
        ("example.org.:1", "example.org.", 1),
        ("my_host:1", "my_host", 1),
        ("4f8a1b2c3d4e:1", "4f8a1b2c3d4e", 1),
        ("123456789012:1", "123456789012", 1),
        ("127.0.0.1:080", "127.0.0.1", 80),
        ("[::1]:80", "::1", 80),
        ("[::]:80", "::", 80),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
        ("[::ffff:127.0.0.1]:80", "::ffff:127.0.0.1", 80),
    ],
)
def test_what_an_address_says(text, host, port):
    address = Address.parse(text)
    assert (address.host, address.port) == (host, port)
    assert Address.parse(str(address)) == address


def test_a_port_may_be_left_out_where_there_is_a_default():
    assert str(Address.parse("host", default_port=2379)) == "host:2379"
    assert str(Address.parse("[::1]", default_port=2379)) == "[::1]:2379"
    assert str(Address.parse("[::1]:80", default_port=2379)) == "[::1]:80"
    for text in ("::1", "host:", ":80", ""):
        with pytest.raises(InvalidAddressError):
            Address.parse(text, default_port=2379)


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_brackets_are_no_part_of_a_host(host):
    address = Address(host, 0)
    assert address == Address("::1", 0)
    assert str(address) == "[::1]:0"


@pytest.mark.parametrize("host", ["", "host:80", "[::1]:80", "http://host", "h\u00f6st", "::1%", None, 1])
def test_a_host_that_is_none_is_refused(host):
    with pytest.raises(InvalidAddressError, match="a host is"):
        Address(host, 80)


@pytest.mark.parametrize("port", [-1, 65536, 70_000, 1.5, "80", True, None])
def test_a_port_that_is_none_is_refused(port):
    with pytest.raises(InvalidAddressError, match="from 0 to 65535") as caught:
        Address("host", port)
    assert repr(port) in str(caught.value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0:0:0:0:0:0:0:1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("localhost.example.org", False),
        ("127.example.org", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("fe80::1%lo", False),
    ],
)
def test_whether_only_this_machine_reaches_it(host, loopback):
    assert Address(host, 1).is_loopback is loopback


def test_which_hosts_are_all_interfaces():
    every = ["0.0.0.0", "::", "[::]", "0::0", "::ffff:0.0.0.0"]
    assert all(Address(host, 1).is_wildcard for host in every)
    assert not any(Address(host, 1).is_wildcard for host in ("127.0.0.1", "::1", "localhost", "0"))


def test_localhost_is_both_loopback_addresses():
    assert [str(one) for one in Address("localhost", 1).candidates] == ["127.0.0.1:1", "[::1]:1"]
    assert [str(one) for one in Address("example.org", 1).candidates] == ["example.org:1"]
