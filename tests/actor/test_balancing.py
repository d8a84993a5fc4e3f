"""Which of several endpoints gets a call."""

from __future__ import annotations

import collections
import threading
from contextlib import ExitStack

import pytest

from iris_actor import ActorServer, FixedResolver, ResolveResult
from iris_actor.errors import CallError
from tests.support.serving import NAME, hosting, lookup_at
from tests.support.waiting import Stopwatch, until


class Named:
    def __init__(self, name: str) -> None:
        self.name = name
        self.go = threading.Event()
        self.held = 0

    def who(self) -> str:
        return self.name

    def hold(self) -> str:
        self.held += 1
        assert self.go.wait(20)
        return self.name


@pytest.fixture
def three():
    with ExitStack() as stack:
        actors = [Named(name) for name in "abc"]
        hosted = [stack.enter_context(hosting(actor, max_concurrency=8)) for actor in actors]
        yield actors, [one.address for one in hosted], hosted
        for actor in actors:
            actor.go.set()


def test_round_robin_takes_each_endpoint_in_turn_in_order(three):
    _, addresses, _ = three
    pool = lookup_at(*addresses)
    assert [pool.call().who() for _ in range(9)] == list("abcabcabc")


def test_round_robin_is_fair_to_many_threads(three):
    _, addresses, _ = three
    pool = lookup_at(*addresses)
    seen: list[str] = []
    threads = [
        threading.Thread(target=lambda: seen.extend(pool.call().who() for _ in range(30))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert collections.Counter(seen) == {"a": 50, "b": 50, "c": 50}


def test_every_way_to_call_shares_the_turns(three):
    _, addresses, _ = three
    pool = lookup_at(*addresses)
    assert [pool.call().who(), pool.submit().who().result(10), pool.call(timeout=5).who()] == list("abc")


def test_least_pending_avoids_the_busy_endpoints(three):
    actors, addresses, _ = three
    busy = lookup_at(addresses[0])
    pool = lookup_at(*addresses, balancer="least_pending")
    held = [busy.submit().hold() for _ in range(3)]
    until(lambda: actors[0].held == 3)
    assert "a" not in {pool.call().who() for _ in range(20)}
    actors[0].go.set()
    for future in held:
        future.result(10)
    assert {pool.call().who() for _ in range(20)} == {"a", "b", "c"}


def test_least_pending_spreads_calls_that_are_under_way(three):
    actors, addresses, _ = three
    pool = lookup_at(*addresses, balancer="least_pending")
    futures = [pool.submit().hold() for _ in range(9)]
    until(lambda: [actor.held for actor in actors] == [3, 3, 3])
    for actor in actors:
        actor.go.set()
    assert collections.Counter(f.result(10) for f in futures) == {"a": 3, "b": 3, "c": 3}


def test_hash_stays_with_its_key_and_spreads_keys(three):
    _, addresses, _ = three
    pool = lookup_at(*addresses, balancer="hash")
    where = {key: pool.call(key=key).who() for key in map(str, range(60))}
    assert set(where.values()) == {"a", "b", "c"}
    for key, name in where.items():
        assert pool.call(key=key).who() == name
        assert lookup_at(*addresses, balancer="hash").submit(key=key).who().result(10) == name


def test_hash_moves_only_the_keys_of_an_endpoint_that_left(three):
    _, addresses, _ = three
    full = lookup_at(*addresses, balancer="hash")
    fewer = lookup_at(*addresses[:2], balancer="hash")
    for key in map(str, range(60)):
        before = full.call(key=key).who()
        if before != "c":
            assert fewer.call(key=key).who() == before


@pytest.mark.parametrize("way", ["call", "submit"])
def test_hash_without_a_key_is_a_value_error(three, way):
    _, addresses, _ = three
    with pytest.raises(ValueError, match="needs a key"):
        getattr(lookup_at(*addresses, balancer="hash"), way)().who()


class Late(FixedResolver):
    """Knows its endpoints only once `there` is set."""

    there = False

    def resolve(self, name: str) -> ResolveResult:
        known = super().resolve(name)
        return known if self.there else ResolveResult(known.name, (), 0)


def test_a_balancer_that_fails_when_the_endpoint_appears_fails_the_call_and_hangs_nothing(three):
    _, addresses, _ = three
    resolver = Late({NAME: addresses}, namespace="test")
    future = resolver.lookup(NAME, balancer="hash", resolve_timeout=10).submit().who()
    resolver.there = True
    with pytest.raises(ValueError, match="needs a key"):
        future.result(10)


def test_a_balancer_of_the_users_own_chooses(three):
    _, addresses, _ = three

    class Last:
        def pick(self, endpoints, key, pending):
            assert pending(endpoints[-1]) >= 0
            return endpoints[-1]

    pool = lookup_at(*addresses, balancer=Last())
    assert {pool.call().who() for _ in range(5)} == {"c"}


def test_calls_go_around_an_endpoint_that_cannot_be_reached(three):
    _, addresses, _ = three
    dead = ActorServer(namespace="test")
    dead.serve_background()
    gone = dead.address
    dead.stop()
    pool = lookup_at(gone, *addresses)
    watch = Stopwatch()
    seen = collections.Counter(pool.call(timeout=20).who() for _ in range(300))
    assert set(seen) == {"a", "b", "c"}
    assert watch.seconds < 10, "a dead endpoint is set aside instead of tried each time"


def test_an_endpoint_that_failed_is_tried_again_later(three):
    _, addresses, hosted = three
    port = int(addresses[0].rpartition(":")[2])
    pool = lookup_at(*addresses)
    hosted[0].server.stop()
    assert {pool.call(timeout=20).who() for _ in range(30)} == {"b", "c"}
    again = ActorServer(namespace="test", port=port)
    again.register(NAME, Named("again"))
    again.serve_background()
    try:
        until(lambda: pool.call(timeout=20).who() == "again")
    finally:
        again.stop()


def test_a_call_fails_when_no_endpoint_can_be_reached():
    dead = ActorServer(namespace="test")
    dead.serve_background()
    dead.stop()
    pool = lookup_at(dead.address, resolve_timeout=0.5)
    watch = Stopwatch()
    with pytest.raises(CallError) as caught:
        pool.call().who()
    assert not caught.value.may_have_run
    assert dead.address in str(caught.value)
    assert watch.seconds < 10
