"""Finding actors through etcd: they may come later, come and go, and live in namespaces."""

from __future__ import annotations

import threading

import pytest

from iris_actor import ActorServer, EtcdResolver
from iris_actor.errors import ActorNotFoundError
from tests.support.lab import Lab
from tests.support.processes import ServerProcess
from tests.support.waiting import Stopwatch, until


@pytest.fixture
def resolver(etcd, namespace):
    with EtcdResolver(etcd.url, namespace=namespace) as resolver:
        assert resolver.wait_synced("anything", 10)
        yield resolver


@pytest.fixture
def start(etcd, namespace):
    """Starts servers that host Labs in the test's namespace."""
    servers = []

    def start_one(*names: str, **register) -> ActorServer:
        server = ActorServer(etcd.url, namespace=namespace)
        servers.append(server)
        for name in names:
            server.register(name, Lab(), **register)
        server.serve_background()
        return server

    yield start_one
    for server in servers:
        server.stop()


def addresses(pool) -> set[str]:
    return {endpoint.address for endpoint in pool.endpoints()}


def test_an_actor_is_found_by_its_name(resolver, start):
    server = start("calculator")
    pool = resolver.lookup("calculator")
    assert pool.call(timeout=10).echo(1) == 1
    assert addresses(pool) == {server.address}


def test_a_name_may_have_several_segments(resolver, start):
    start("rl/curriculum", "rl/replay")
    assert resolver.lookup("rl/curriculum").call(timeout=10).echo(1) == 1
    until(lambda: len(resolver.list()) == 2)
    assert resolver.list("rl/c") == [f"{resolver.namespace}/rl/curriculum"]


def test_a_name_may_be_looked_up_before_the_actor_exists(resolver, start):
    pool = resolver.lookup("later")
    assert pool.size == 0
    future = pool.submit().echo("there")
    blocked = []
    thread = threading.Thread(target=lambda: blocked.append(pool.call().echo("here")))
    thread.start()
    with pytest.raises(TimeoutError):
        future.result(0.2)
    start("later")
    assert future.result(10) == "there"
    thread.join(10)
    assert blocked == ["here"]


async def test_a_coroutine_waits_for_the_actor_too(resolver, start):
    import asyncio

    task = asyncio.create_task(resolver.lookup("later").acall(timeout=20).echo(3))
    await asyncio.sleep(0)
    await asyncio.to_thread(start, "later")
    assert await task == 3


def test_a_name_that_never_appears_is_an_error_after_the_resolve_timeout(resolver):
    watch = Stopwatch()
    with pytest.raises(ActorNotFoundError, match="never"):
        resolver.lookup("never", resolve_timeout=0.5).call().echo(1)
    assert 0.45 < watch.seconds < 5


def test_endpoints_join_and_leave_at_once(resolver, start):
    pool = resolver.lookup("calculator")
    one = start("calculator")
    pool.wait_for_size(1, timeout=10)
    two = start("calculator")
    pool.wait_for_size(2, timeout=10)
    assert addresses(pool) == {one.address, two.address}
    watch = Stopwatch()
    one.stop()
    until(lambda: addresses(pool) == {two.address})
    assert watch.seconds < 3, "a clean leave does not wait for the lease"
    assert pool.call(timeout=10).echo(1) == 1


def test_waiting_for_a_size_gives_up_at_its_timeout(resolver, start):
    start("calculator")
    pool = resolver.lookup("calculator")
    with pytest.raises(ActorNotFoundError, match="1 of 2 endpoints"):
        pool.wait_for_size(2, timeout=0.5)
    pool.wait_for_size(1, timeout=10)
    pool.wait_for_size(0, timeout=0)


def test_an_unregistered_actor_disappears_while_its_server_goes_on(resolver, start):
    server = start("one", "two")
    pool = resolver.lookup("one")
    pool.wait_for_size(1, timeout=10)
    server.unregister("one")
    until(lambda: pool.size == 0)
    assert resolver.lookup("two").call(timeout=10).echo(1) == 1


def test_a_server_that_is_killed_disappears_within_its_ttl(etcd, resolver):
    pool = resolver.lookup("crashing")
    with ServerProcess(f"{etcd.url}?ttl=2", namespace=resolver.namespace, name="crashing") as server:
        pool.wait_for_size(1, timeout=10)
        server.kill()
        watch = Stopwatch()
        until(lambda: pool.size == 0)
        assert watch.seconds < 2 + 6, "etcd ends a lease up to a few seconds late"


def test_calls_leave_out_a_killed_server_before_its_lease_ends(etcd, resolver, start):
    with ServerProcess(f"{etcd.url}?ttl=30", namespace=resolver.namespace, name="calculator") as server:
        resolver.lookup("calculator").wait_for_size(1, timeout=10)
        start("calculator")
        pool = resolver.lookup("calculator")
        pool.wait_for_size(2, timeout=10)
        assert len({pool.call(timeout=10).pid() for _ in range(4)}) == 2
        server.kill()
        assert len({pool.call(timeout=10, idempotent=True).pid() for _ in range(20)}) == 1
        assert pool.size == 2, "the registry does not know yet"


def test_two_namespaces_cannot_see_each_other_but_an_absolute_name_can(etcd, resolver, start):
    start("calculator")
    other = f"{resolver.namespace}-other"
    with EtcdResolver(etcd.url, namespace=other) as stranger:
        assert stranger.wait_synced("calculator", 10)
        assert stranger.lookup("calculator").size == 0
        with pytest.raises(ActorNotFoundError):
            stranger.lookup("calculator", resolve_timeout=0.3).call().echo(1)
        assert stranger.list() == []
        absolute = f"/{resolver.namespace}/calculator"
        assert stranger.lookup(absolute).call(timeout=10).echo(1) == 1
        assert stranger.list(f"/{resolver.namespace}/") == [f"{resolver.namespace}/calculator"]


def test_an_actor_may_be_registered_in_another_namespace(etcd, resolver, start):
    other = f"{resolver.namespace}-other"
    start(f"/{other}/calculator")
    with EtcdResolver(etcd.url, namespace=other) as stranger:
        assert stranger.lookup("calculator").call(timeout=10).echo(1) == 1
    assert resolver.lookup("calculator").size == 0


def test_round_robin_follows_the_order_of_registration(resolver, start):
    servers = [start("ordered") for _ in range(3)]
    pool = resolver.lookup("ordered")
    pool.wait_for_size(3, timeout=10)
    assert [endpoint.address for endpoint in pool.endpoints()] == [server.address for server in servers]


def test_an_endpoint_says_where_it_is_and_what_its_owner_told(resolver, start):
    import os

    server = start("calculator", metadata={"gpu": "a100"})
    pool = resolver.lookup("calculator")
    pool.wait_for_size(1, timeout=10)
    (endpoint,) = pool.endpoints()
    assert endpoint.name == f"{resolver.namespace}/calculator"
    assert (endpoint.namespace, endpoint.actor_name) == (resolver.namespace, "calculator")
    assert (endpoint.address, endpoint.pid) == (server.address, os.getpid())
    assert endpoint.metadata == {"gpu": "a100"}
    assert endpoint.started_at > 0
    assert endpoint.incarnation
    result = resolver.resolve("calculator")
    assert result.first() == endpoint
    assert not result.is_empty
    assert result.revision > 0


def test_resolving_a_name_that_nobody_serves_is_empty(resolver):
    result = resolver.resolve("nobody")
    assert result.is_empty
    with pytest.raises(LookupError, match="nobody"):
        result.first()


def test_a_change_in_the_middle_of_a_look_up_is_seen_by_the_next_one(resolver, start, monkeypatch):
    start("calculator")
    until(lambda: not resolver.resolve("calculator").is_empty)
    handle = resolver._directory(resolver.namespace)
    read = type(handle).endpoints

    def read_just_before_a_change(self, name):
        monkeypatch.undo()
        endpoints = read(self, name)
        start("calculator")
        until(lambda: len(read(self, name)) == 2)
        return endpoints

    start("another")  # so that the next one looks again
    until(lambda: not resolver.resolve("another").is_empty)
    monkeypatch.setattr(type(handle), "endpoints", read_just_before_a_change)
    assert len(resolver.resolve("calculator").endpoints) == 1
    assert len(resolver.resolve("calculator").endpoints) == 2
    assert resolver.resolve("calculator") is resolver.resolve("calculator")


def test_two_actors_on_one_server_share_a_connection_and_not_their_queue(resolver, start):
    start("one", "two")
    held = resolver.lookup("one").submit(timeout=20).hold("gate")
    until(lambda: resolver.lookup("one").call(timeout=10).counted("gate"))
    assert resolver.lookup("two").call(timeout=10).echo(1) == 1
    resolver.lookup("one").call(timeout=10).release("gate")
    held.result(10)


def test_a_replaced_actor_is_called_under_its_new_id(resolver, start):
    server = start("calculator")
    pool = resolver.lookup("calculator")
    assert pool.call(timeout=10).count("x") == 1
    server.unregister("calculator")
    server.register("calculator", Lab())
    assert pool.call(timeout=10).count("x") == 1, "another object, that has counted nothing"
