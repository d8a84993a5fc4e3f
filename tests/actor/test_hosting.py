"""Registering objects: what is refused, what is never evaluated, and what a server says about itself."""

from __future__ import annotations

import functools
import socket

import pytest

from iris_actor import ActorServer, Limits, method
from iris_actor.errors import (
    AddressInUseError,
    InsecureServerError,
    InvalidNameError,
    InvalidURLError,
    MethodNotFoundError,
)
from iris_actor.rpc.json_call import describe
from tests.support.lab import Lab
from tests.support.serving import NAME, hosting, lookup_at


class Guarded:
    """Everything that must not be touched says so."""

    def __init__(self) -> None:
        self.touched: list[str] = []

    @property
    def expensive(self) -> int:
        """A property that counts its evaluations."""
        self.touched.append("expensive")
        raise RuntimeError("evaluated")

    @functools.cached_property
    def cached(self) -> int:
        self.touched.append("cached")
        raise RuntimeError("evaluated")

    def plain(self, x: int = 1) -> int:
        """A plain method."""
        return x

    async def coroutine(self) -> None:
        """An async method."""

    def generator(self):
        yield 1

    async def async_generator(self):
        yield 1

    @method(group="control")
    def heartbeat(self) -> None:
        """In a group."""

    def _hidden(self) -> None:
        pass


@pytest.fixture
def server():
    server = ActorServer(namespace="test")
    yield server
    server.stop()


def test_properties_are_evaluated_neither_at_registration_nor_at_describe_nor_when_called():
    actor = Guarded()
    with hosting(actor) as hosted:
        describe(hosted.address)
        for name in ("expensive", "cached"):
            with pytest.raises(MethodNotFoundError, match="not a method"):
                getattr(hosted.pool.call(), name)()
        assert hosted.pool.call().plain(3) == 3
        with pytest.raises(MethodNotFoundError):
            hosted.pool.call().missing()
    assert actor.touched == []


def test_describe_lists_public_methods_with_signature_kind_group_and_doc():
    with hosting(Guarded()) as hosted:
        (actor,) = describe(hosted.address, NAME).actors
    assert actor.name == f"test/{NAME}"
    assert actor.type.endswith(".Guarded")
    assert actor.doc == "Everything that must not be touched says so."
    methods = {m.name: m for m in actor.methods}
    assert set(methods) == {"plain", "coroutine", "generator", "async_generator", "heartbeat"}
    assert methods["plain"].signature == "(x: int = 1) -> int"
    assert methods["plain"].doc == "A plain method."
    assert {name: m.kind for name, m in methods.items()} == {
        "plain": "plain",
        "coroutine": "async",
        "generator": "generator",
        "async_generator": "async generator",
        "heartbeat": "plain",
    }
    assert methods["heartbeat"].group == "control"
    assert methods["plain"].group == "default"


def test_a_port_that_is_in_use_is_an_address_in_use_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = ActorServer(namespace="test", port=taken.getsockname()[1])
        with pytest.raises(AddressInUseError, match=str(taken.getsockname()[1])) as caught:
            server.serve_background()
        server.stop()
    assert isinstance(caught.value, OSError)
    assert caught.value.errno == 98


def test_two_servers_never_share_a_port(server):
    port = server.serve_background()
    other = ActorServer(namespace="test", port=port)
    with pytest.raises(AddressInUseError):
        other.serve_background()
    other.stop()


def test_the_kernel_chooses_a_port_and_the_server_says_which(server):
    port = server.serve_background()
    assert port > 0
    assert server.address == f"127.0.0.1:{port}"
    assert server.serve_background() == port, "serving twice is serving once"


def test_another_host_can_be_advertised():
    server = ActorServer(namespace="test", advertise_host="127.0.0.9")
    port = server.serve_background()
    assert server.address == f"127.0.0.9:{port}"
    server.stop()


def test_a_taken_name_is_a_value_error_and_the_first_actor_stays(server):
    server.register("a", Lab())
    with pytest.raises(ValueError, match="'test/a' is taken"):
        server.register("a", Lab())
    with pytest.raises(ValueError, match="taken"):
        server.register("/test/a", Lab())
    server.serve_background()
    assert lookup_at(server.address, name="a").call().echo(1) == 1


@pytest.mark.parametrize("name", ["", "a b", "a//b", "_framework", "/alone", "a/_b", None, 3])
def test_a_bad_name_is_refused(server, name):
    with pytest.raises(InvalidNameError):
        server.register(name, Lab())


@pytest.mark.parametrize("limit", [0, -1, 1.5, "2", True, None])
def test_a_bad_concurrency_limit_is_a_value_error(server, limit):
    with pytest.raises(ValueError, match="max_concurrency must be"):
        server.register("a", Lab(), max_concurrency=limit)
    with pytest.raises(ValueError, match="control must be"):
        server.register("a", Lab(), concurrency_groups={"control": limit})


@pytest.mark.parametrize("metadata", [{"a": 1}, {1: "a"}, {"a": None}])
def test_metadata_must_be_strings(server, metadata):
    with pytest.raises(TypeError, match="metadata must map strings to strings"):
        server.register("a", Lab(), metadata=metadata)


@pytest.mark.parametrize("limits", [{"max_payload": 0}, {"max_in_flight": -1}, {"resume_window": "9"}])
def test_a_limit_that_is_not_positive_is_a_value_error(limits):
    with pytest.raises(ValueError, match="must be a positive number"):
        Limits(**limits)


@pytest.mark.parametrize("group", ["", None, 3])
def test_a_group_needs_a_name(group):
    with pytest.raises(ValueError, match="needs a name"):
        method(group=group)


@pytest.mark.parametrize("registry", ["nonsense", "http://host", "etcd://"])
def test_a_registry_url_that_cannot_be_understood_is_refused(registry):
    with pytest.raises(InvalidURLError):
        ActorServer(registry, namespace="test")


def test_a_bad_namespace_is_refused():
    with pytest.raises(InvalidNameError):
        ActorServer(namespace="a/b")


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "127.example.org", "::ffff:10.0.0.1"]
)
def test_a_host_beyond_loopback_without_credentials_is_refused(host):
    with pytest.raises(InsecureServerError, match="insecure=True") as caught:
        ActorServer(namespace="test", host=host)
    assert isinstance(caught.value, ValueError)


def test_a_host_beyond_loopback_is_served_when_the_risk_is_accepted():
    server = ActorServer(namespace="test", host="0.0.0.0", advertise_host="127.0.0.1", insecure=True)
    server.register(NAME, Lab())
    server.serve_background()
    assert lookup_at(server.address).call().echo(1) == 1
    server.stop()


def test_a_stopped_server_takes_no_actor_and_cannot_serve_again(server):
    server.serve_background()
    server.stop()
    with pytest.raises(RuntimeError, match="stopped"):
        server.register("late", Lab())
    with pytest.raises(RuntimeError, match="stopped"):
        server.serve_background()


def test_an_actor_can_be_registered_while_serving(server):
    server.serve_background()
    server.register("late", Lab())
    assert lookup_at(server.address, name="late").call().echo(1) == 1


def test_actor_ids_are_never_used_twice(server):
    first = server.register("a", Lab())
    server.unregister("a")
    second = server.register("a", Lab())
    assert first != second


def test_unregistering_what_is_not_there_is_a_key_error(server):
    with pytest.raises(KeyError, match="nobody"):
        server.unregister("nobody")


def test_unregistering_by_actor_id_takes_that_actor(server):
    actor_id = server.register("a", Lab())
    server.unregister(actor_id)
    with pytest.raises(KeyError):
        server.unregister("a")
