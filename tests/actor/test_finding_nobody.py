"""A call that finds nobody says why: no registry, no such name here, or the name is elsewhere."""

from __future__ import annotations

import asyncio
import pickle
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from iris_actor import ActorServer, EtcdResolver, FixedResolver
from iris_actor.actor.absence import absence_text
from iris_actor.errors import (
    ActorNotFoundError,
    DeadlineExceededError,
    RegistryUnavailableError,
    ServerUnavailableError,
)
from iris_actor.testing import EtcdProcess
from tests.support.lab import Lab
from tests.support.serving import hosting, lookup_at
from tests.support.waiting import Stopwatch, until

NOBODY = "etcd://user:secret@127.0.0.1:1"
WAYS: dict[str, Callable[[Any, float | None], Any]] = {
    "call": lambda pool, timeout: pool.call(timeout=timeout).echo(1),
    "submit": lambda pool, timeout: pool.submit(timeout=timeout).echo(1).result(20),
    "acall": lambda pool, timeout: asyncio.run(_awaited(pool.acall(timeout=timeout).echo(1))),
    "stream": lambda pool, timeout: next(pool.stream(timeout=timeout).items(1)),
    "map": lambda pool, timeout: list(pool.map([1], timeout=timeout).echo()),
}


async def _awaited(coroutine: Any) -> Any:
    return await coroutine


@pytest.fixture
def served(etcd, namespace):
    """A server of "inference" in the test's namespace."""
    with ActorServer(etcd.url, namespace=namespace) as server:
        server.register("inference", Lab())
        server.serve_background()
        yield server


def caught_in(way: str, resolver: Any, name: str, shorter: str) -> ActorNotFoundError:
    """How a call ends where one of the two timeouts is the shorter."""
    resolve_timeout, timeout, said = {
        "timeout": (30.0, 0.6, r"waited 0\.6 s \(timeout\)"),
        "resolve_timeout": (0.6, None, r"waited 0\.6 s \(resolve_timeout\)"),
    }[shorter]
    watch = Stopwatch()
    with pytest.raises(ActorNotFoundError, match=said) as caught:
        WAYS[way](resolver.lookup(name, resolve_timeout=resolve_timeout), timeout)
    assert 0.5 < watch.seconds < 8
    assert not caught.value.may_have_run
    return caught.value


@pytest.mark.parametrize("shorter", ["timeout", "resolve_timeout"])
@pytest.mark.parametrize("way", WAYS)
def test_without_a_registry_each_way_to_call_names_it(way, shorter):
    with EtcdResolver(NOBODY, namespace="ns") as resolver:
        until(lambda: resolver.trouble("inference").since)
        error = caught_in(way, resolver, "inference", shorter)
    assert re.search(r"ns/inference.*127\.0\.0\.1:1 is not available since .* nothing listens", str(error))
    assert "secret" not in str(error)
    assert isinstance(error.__cause__, RegistryUnavailableError)
    assert error.__cause__.since is not None


@pytest.mark.parametrize("shorter", ["timeout", "resolve_timeout"])
@pytest.mark.parametrize("way", WAYS)
def test_a_misspelt_name_is_told_the_near_one(etcd, served, namespace, way, shorter):
    with EtcdResolver(etcd.url, namespace=namespace) as resolver:
        error = caught_in(way, resolver, "inferense", shorter)
    assert f"no actor 'inferense' in namespace '{namespace}', which has inference;" in str(error)
    assert error.__cause__ is None


def test_a_name_in_another_namespace_is_told_where(etcd, served, namespace):
    with EtcdResolver(etcd.url, namespace=f"{namespace}-other") as resolver:
        error = caught_in("call", resolver, "inference", "timeout")
        assert f"which has no actors; there is /{namespace}/inference" in str(error)
        with pytest.raises(ActorNotFoundError, match=f"there is /{namespace}/inference"):
            resolver.lookup("inference").wait_for_size(1, timeout=0.6)


def test_a_registry_that_went_away_after_the_listing_is_named(namespace):
    with EtcdProcess() as own, EtcdResolver(own.url, namespace=namespace) as resolver:
        assert resolver.lookup("inference").size == 0
        own.kill()
        until(lambda: resolver.trouble("inference"))
        error = caught_in("call", resolver, "inference", "timeout")
        assert re.search(rf"lately.*{own.port} is not available since", str(error))
        assert isinstance(error.__cause__, RegistryUnavailableError)


def test_the_error_pickles_with_all_that_it_says(etcd, namespace):
    with EtcdResolver(etcd.url, namespace=namespace) as resolver:
        error = caught_in("call", resolver, "nobody", "timeout")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.target, copy.may_have_run) == (str(error), f"{namespace}/nobody.echo", False)


def test_a_fixed_resolver_tells_what_is_in_its_table():
    resolver = FixedResolver({"inference": "127.0.0.1:1", "/far/train": "127.0.0.1:1"}, namespace="ns")
    for name, said in (("inferense", "which has inference"), ("train", "there is /far/train")):
        with pytest.raises(ActorNotFoundError, match=said):
            resolver.lookup(name).call(timeout=0.6).echo(1)


def test_a_fixed_resolver_lists_only_what_is_served():
    resolver = FixedResolver(
        {"there": "127.0.0.1:1", "gone": [], "/far/train": "127.0.0.1:1"}, namespace="ns"
    )
    assert resolver.list() == ["ns/there"]
    assert resolver.list("/") == ["far/train", "ns/there"]


def test_a_nested_call_that_runs_out_of_its_callers_time_finds_nobody():
    class Caller:
        def ask(self) -> str:
            pool = FixedResolver({}, namespace="ns").lookup("nobody")
            try:
                return str(pool.call().echo(1))
            except ActorNotFoundError as error:
                return str(error)

    with hosting(Caller()) as hosted:
        with pytest.raises(DeadlineExceededError):
            hosted.pool.call(timeout=0.3).ask()


# --- not "nobody" -----------------------------------------------------------------------------------


def test_a_call_that_found_an_endpoint_still_ends_at_its_deadline():
    with hosting(Lab()) as hosted, pytest.raises(DeadlineExceededError) as caught:
        hosted.pool.call(timeout=0.3).hold("gate")
    assert caught.value.may_have_run


def test_a_call_whose_endpoints_all_failed_lately_says_so():
    pool = lookup_at("127.0.0.1:1", resolve_timeout=0.3)

    def failure(timeout: float | None) -> Exception:
        with pytest.raises((ServerUnavailableError, DeadlineExceededError)) as caught:
            pool.call(timeout=timeout).echo(1)
        assert not caught.value.may_have_run
        return caught.value

    # It is set aside for longer each time, in the end for longer than a call waits.
    for timeout, kind in ((None, ServerUnavailableError), (0.05, DeadlineExceededError)):
        errors = (failure(timeout) for _ in range(20))
        error = next(error for error in errors if "lately" in str(error))
        assert isinstance(error, kind)
        assert re.search(r"each endpoint failed lately.*127\.0\.0\.1:1", str(error))


# --- what finding out costs -------------------------------------------------------------------------


class Counting(FixedResolver):
    """Counts how often it is asked what there is, and waits for `gate` before it tells."""

    asked = 0
    gate: threading.Event | None = None

    def explain(self, name: str, *, timeout: float | None = 5.0) -> str:
        self.asked += 1
        if self.gate is not None:
            assert self.gate.wait(20)
        return "counted"


def test_many_calls_of_one_pool_ask_once_what_there_is():
    resolver = Counting({}, namespace="ns")
    pool = resolver.lookup("nobody")
    futures = [pool.submit(timeout=1).echo(1) for _ in range(100)]
    for future in futures:
        with pytest.raises(ActorNotFoundError, match="counted"):
            future.result(20)
    with pytest.raises(ActorNotFoundError, match="counted"):
        pool.call(timeout=0.3).echo(1)
    assert resolver.asked == 1


def test_a_call_that_finds_its_endpoint_soon_asks_nobody():
    with hosting(Lab()) as hosted:
        resolver = Counting({"actor": hosted.address}, namespace="test")
        assert resolver.lookup("actor").call(timeout=10).echo(1) == 1
        assert resolver.asked == 0


def test_finding_out_delays_no_call_past_its_timeout_and_no_other_call():
    resolver = Counting({}, namespace="ns")
    resolver.gate = threading.Event()
    try:
        for way in ("call", "submit"):
            watch = Stopwatch()
            with pytest.raises(ActorNotFoundError, match="no endpoint serves 'ns/nobody'"):
                WAYS[way](resolver.lookup("nobody"), 0.4)
            assert watch.seconds < 3
        assert resolver.asked == 1
        with hosting(Lab()) as hosted:
            assert hosted.pool.call(timeout=5).echo(1) == 1
    finally:
        resolver.gate.set()


def test_a_resolver_that_cannot_explain_harms_no_call():
    class Broken(FixedResolver):
        """Explains nothing."""

        def explain(self, name: str, *, timeout: float | None = 5.0) -> str:
            raise RuntimeError("broken")

    with pytest.raises(ActorNotFoundError, match="no endpoint serves 'ns/nobody'; waited"):
        Broken({}, namespace="ns").lookup("nobody").call(timeout=0.4).echo(1)


# --- the words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "served", "said"),
    [
        ("ns/a", [], "no actor 'a' in namespace 'ns', which has no actors"),
        ("ns/a", ["ns/_workerpool/x"], "which has no actors"),
        ("ns/ab", ["ns/zz", "ns/abc", "ns/q"], "which has abc, q, zz"),
        ("ns/a", ["m/a", "l/a"], "which has no actors; there is /l/a, /m/a"),
        ("ns/rl", ["m/rl/one"], "there is /m/rl/one"),
        ("ns/a", ["m/b", "l/b"], "which has no actors; there are actors in l, m"),
        ("ns/a", ["ns/a"], "there is an entry for 'ns/a', but not, or not yet, a readable endpoint"),
    ],
)
def test_what_there_is_instead_is_told_in_a_sentence(name, served, said):
    assert said in absence_text(name, served)


def test_of_thousands_of_names_the_nearest_are_told():
    served = [f"ns/actor-{number}" for number in range(5000)] + ["ns/inference"]
    text = absence_text("ns/inferense", served)
    assert text.endswith("which has 5001 actors, the nearest: inference")
    assert len(absence_text("ns/actor", [f"other-{n}/actor" for n in range(1000)])) < 400
