"""A server binds what it is told to, or says the real reason why not."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys

import pytest

from iris_actor import ActorServer
from iris_actor.errors import AddressInUseError, AddressUnusableError, InvalidAddressError
from tests.support.lab import Lab
from tests.support.processes import ROOT
from tests.support.serving import NAME, lookup_at
from tests.support.strangers import listener


def refusal(**server) -> OSError:
    server = ActorServer(namespace="test", insecure=True, **server)
    try:
        with pytest.raises(OSError) as caught:
            server.serve_background()
    finally:
        server.stop()
    return caught.value


@pytest.mark.parametrize(
    ("taken", "host"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "localhost"),
        ("::1", "localhost"),
        ("::1", "::1"),
        ("127.0.0.1", "0.0.0.0"),
        ("::1", "::"),
        ("127.0.0.1", "::"),
    ],
)
def test_an_address_that_is_taken_is_in_use(taken, host):
    with listener(b"", taken) as stranger:
        port = int(stranger.rpartition(":")[2])
        error = refusal(host=host, port=port)
    assert isinstance(error, AddressInUseError)
    assert error.errno == errno.EADDRINUSE
    assert str(port) in str(error)
    assert "already in use" in str(error)


def test_a_server_that_finds_one_of_its_addresses_taken_lets_the_others_go():
    with listener(b"", "::1") as stranger:
        port = int(stranger.rpartition(":")[2])
        assert isinstance(refusal(host="localhost", port=port), AddressInUseError)
        with socket.create_server(("127.0.0.1", port)) as plain:
            assert plain.getsockname()[1] == port


@pytest.mark.parametrize("host", ["192.0.2.77", "2001:db8::77", "::ffff:192.0.2.77"])
def test_an_address_of_another_machine_is_not_in_use(host):
    error = refusal(host=host)
    assert isinstance(error, AddressUnusableError)
    assert not isinstance(error, AddressInUseError)
    assert error.errno == errno.EADDRNOTAVAIL
    assert "no interface of this machine has the address" in str(error)
    assert host in error.address


def test_a_host_that_cannot_be_resolved_is_said_to_be_unknown():
    error = refusal(host="nowhere.invalid")
    assert isinstance(error, AddressUnusableError)
    assert error.errno in {socket.EAI_NONAME, socket.EAI_AGAIN}
    assert "there is no host 'nowhere.invalid'" in str(error)


def test_a_port_that_this_process_may_not_take_is_said_to_be_forbidden():
    source = """
import os
from iris_actor import ActorServer
from iris_actor.errors import AddressUnusableError
server = ActorServer(namespace="test", port=1)
if os.getuid() == 0:
    "x".encode("idna")  # the user may not read the modules of ours
    os.setuid(65534)
try:
    server.serve_background()
except AddressUnusableError as error:
    print(error.errno, error)
server.stop()
"""
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, text=True, capture_output=True, timeout=60, check=False
    )
    assert done.stdout.startswith(f"{errno.EACCES} "), done.stderr
    assert "this process may not take the port (Permission denied)" in done.stdout


@pytest.mark.parametrize("port", [-1, 65536, 70_000, "80", 1.5, None])
def test_a_port_that_is_none_is_refused_at_once(port):
    with pytest.raises(InvalidAddressError, match="from 0 to 65535"):
        ActorServer(namespace="test", port=port)


def test_localhost_is_served_at_both_its_addresses_on_one_port():
    with ActorServer(namespace="test", host="localhost") as server:
        server.register(NAME, Lab())
        port = server.serve_background()
        assert server.address == f"localhost:{port}"
        for host in ("localhost", "127.0.0.1", "[::1]"):
            assert lookup_at(f"{host}:{port}").call(timeout=10).echo(host) == host


def test_a_port_that_was_refused_can_be_had_once_it_is_free():
    with listener(b"") as stranger:
        port = int(stranger.rpartition(":")[2])
        assert isinstance(refusal(port=port), AddressInUseError)
    with ActorServer(namespace="test", port=port) as server:
        assert server.serve_background() == port
