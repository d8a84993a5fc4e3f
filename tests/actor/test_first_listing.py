"""Right after `lookup` nobody knows yet who is there: whoever may wait for the first listing does."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from iris_actor import ActorServer, EtcdResolver, FixedResolver, RegistryResolver
from iris_actor.actor.resolve_result import ResolveResult
from iris_actor.errors import ActorNotFoundError, RegistryError, RegistryUnavailableError
from tests.support.lab import Lab
from tests.support.proxy import Proxy
from tests.support.waiting import Stopwatch, until

NOBODY = "etcd://user:secret@127.0.0.1:1"
LOOKS: dict[str, Callable[[EtcdResolver], int]] = {
    "resolve": lambda resolver: len(resolver.resolve("lab").endpoints),
    "list": lambda resolver: len(resolver.list("lab")) * 2,
    "size": lambda resolver: resolver.lookup("lab").size,
    "endpoints": lambda resolver: len(resolver.lookup("lab").endpoints()),
    "broadcast": lambda resolver: len(resolver.lookup("lab").broadcast().echo(1).wait_all(10)),
    "wait_for": lambda resolver: 2 if _waited(resolver) else 0,
}


def _waited(resolver: EtcdResolver) -> bool:
    resolver.lookup("lab").wait_for_size(2, timeout=20)
    return True


@pytest.fixture
def two(etcd, namespace) -> Iterator[None]:
    """Two servers that host a Lab."""
    servers = [ActorServer(etcd.url, namespace=namespace) for _ in range(2)]
    for server in servers:
        server.register("lab", Lab())
        server.serve_background()
    yield
    for server in servers:
        server.stop()


@pytest.fixture
def gate(etcd) -> Iterator[Proxy]:
    """The way to etcd; nothing passes until it is resumed."""
    with Proxy(f"127.0.0.1:{etcd.port}") as proxy:
        proxy.stall()
        yield proxy


@pytest.fixture
def kept_waiting(gate, namespace) -> Iterator[EtcdResolver]:
    """A resolver whose first listing comes when the gate is resumed."""
    with EtcdResolver(f"etcd://{gate.address}", namespace=namespace) as resolver:
        yield resolver


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def in_a_thread(threads: ThreadPoolExecutor, fn: Callable[..., Any], *args: Any) -> Future[Any]:
    """`fn(*args)` in a thread, once that has begun."""
    begun = threading.Event()

    def run() -> Any:
        begun.set()
        return fn(*args)

    future = threads.submit(run)
    assert begun.wait(10)
    return future


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_every_look_waits_for_the_first_listing(two, gate, kept_waiting, threads, look):
    looking = in_a_thread(threads, look, kept_waiting)
    with pytest.raises(TimeoutError):
        looking.result(0.3)
    gate.resume()
    assert looking.result(20) == 2


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_a_look_right_after_lookup_sees_who_is_there(two, etcd, namespace, look):
    for _ in range(5):
        with EtcdResolver(f"{etcd.url}", namespace=namespace) as resolver:
            assert look(resolver) == 2


def test_a_pickled_pool_waits_where_it_arrives(two, gate, kept_waiting, threads):
    resolver, pool = pickle.loads(pickle.dumps((kept_waiting, kept_waiting.lookup("lab"))))
    with resolver:
        size = in_a_thread(threads, lambda: pool.size)
        with pytest.raises(TimeoutError):
            size.result(0.2)
        gate.resume()
        assert size.result(20) == 2


def test_a_pickled_resolver_keeps_its_patience(etcd, namespace):
    with EtcdResolver(etcd.url, namespace=namespace, resolve_timeout=3.5) as resolver:
        with pickle.loads(pickle.dumps(resolver)) as arrived:
            assert arrived.resolve_timeout == 3.5


def test_after_the_listing_an_empty_answer_comes_at_once(etcd, namespace):
    with EtcdResolver(etcd.url, namespace=namespace) as resolver:
        pool = resolver.lookup("nobody")
        assert pool.size == 0
        watch = Stopwatch()
        assert pool.endpoints() == ()
        assert resolver.resolve("nobody").is_empty
        assert resolver.list() == []
        assert pool.broadcast().echo(1).wait_all() == []
        assert watch.seconds < 1


@pytest.mark.parametrize("kind", ["memory", "fixed"])
def test_resolvers_that_know_everything_never_wait(namespace, kind):
    make: dict[str, Callable[[], Any]] = {
        "memory": lambda: RegistryResolver(f"memory://{namespace}", namespace=namespace),
        "fixed": lambda: FixedResolver({"other": "127.0.0.1:1"}, namespace=namespace),
    }
    with make[kind]() as resolver:
        pool = resolver.lookup("nobody")
        assert resolver.known("nobody").is_empty
        assert (pool.size, pool.endpoints(), pool.broadcast().echo(1).wait_all()) == (0, (), [])


# --- the listing does not come ----------------------------------------------------------------------


@pytest.mark.parametrize("look", ["resolve", "size", "endpoints", "list", "list of all"])
def test_without_a_listing_the_error_names_the_registry_and_since_when(look):
    looks: dict[str, Callable[[EtcdResolver], Any]] = {
        "resolve": lambda resolver: resolver.resolve("lab"),
        "size": lambda resolver: resolver.lookup("lab", resolve_timeout=0.5).size,
        "endpoints": lambda resolver: resolver.lookup("lab", resolve_timeout=0.5).endpoints(),
        "list": lambda resolver: resolver.list(timeout=0.5),
        "list of all": lambda resolver: resolver.list("/", timeout=0.5),
    }
    with EtcdResolver(NOBODY, namespace="ns", resolve_timeout=0.5) as resolver:
        until(lambda: resolver.trouble("lab").since)
        watch = Stopwatch()
        with pytest.raises(
            RegistryUnavailableError, match=r"127\.0\.0\.1:1.*since.*nothing listens"
        ) as caught:
            looks[look](resolver)
        assert watch.seconds < 5
    assert "secret" not in str(caught.value)
    assert caught.value.since is not None


def test_a_broadcast_without_a_listing_finds_nobody_and_says_why():
    with EtcdResolver(NOBODY, namespace="ns") as resolver:
        pool = resolver.lookup("lab", resolve_timeout=0.5)
        with pytest.raises(ActorNotFoundError, match=r"ns/lab\.echo: .*127\.0\.0\.1:1.*0\.5 s") as caught:
            pool.broadcast().echo(1)
    assert not caught.value.may_have_run
    assert isinstance(caught.value.__cause__, RegistryUnavailableError)


def test_waiting_for_a_size_without_a_listing_finds_nobody_and_says_why():
    with EtcdResolver(NOBODY, namespace="ns") as resolver:
        for size in (0, 1):
            with pytest.raises(ActorNotFoundError, match=r"127\.0\.0\.1:1") as caught:
                resolver.lookup("lab").wait_for_size(size, timeout=0.3)
            assert isinstance(caught.value.__cause__, RegistryUnavailableError)


def test_a_registry_that_is_only_slow_is_named_as_well(kept_waiting, gate):
    kept_waiting.resolve_timeout = 0.2
    with pytest.raises(RegistryUnavailableError, match=f"{gate.address}.*has not answered yet"):
        kept_waiting.resolve("lab")


def test_whoever_waits_is_let_go_when_the_resolver_is_closed(kept_waiting, threads):
    looking = in_a_thread(threads, kept_waiting.resolve, "lab")
    with pytest.raises(TimeoutError):
        looking.result(0.1)
    kept_waiting.close()
    with pytest.raises(RegistryError, match="closed"):
        looking.result(10)


def test_a_resolve_timeout_must_be_a_number():
    with pytest.raises(ValueError, match="resolve_timeout"):
        EtcdResolver(NOBODY, namespace="ns", resolve_timeout=float("inf"))


# --- who must not wait ------------------------------------------------------------------------------


def test_what_must_not_wait_does_not(kept_waiting):
    pool = kept_waiting.lookup("lab")
    watch = Stopwatch()
    assert repr(pool) == f"ActorPool('{pool.name}', endpoints not known yet)"
    assert kept_waiting.known("lab") is None
    assert not pool.submit().echo(1).done()
    assert watch.seconds < 1


async def test_a_coroutine_that_waits_for_the_listing_leaves_its_loop_alone(two, gate, kept_waiting):
    call = asyncio.create_task(kept_waiting.lookup("lab").acall(timeout=20).echo(7))
    turns = 0
    while turns < 50:
        await asyncio.sleep(0.005)
        turns += 1
    assert not call.done()
    await asyncio.to_thread(gate.resume)
    assert await call == 7


def test_calls_to_others_go_on_while_one_waits_for_its_listing(two, etcd, kept_waiting, namespace):
    waiting = kept_waiting.lookup("lab").submit().echo(1)
    with EtcdResolver(etcd.url, namespace=namespace) as resolver:
        assert resolver.lookup("lab").call(timeout=10).echo(2) == 2
    assert not waiting.done()
    waiting.cancel()


def test_a_subscriber_may_ask_what_is_known(two, etcd, namespace):
    seen: list[int] = []
    with EtcdResolver(etcd.url, namespace=namespace) as resolver:
        end = resolver.subscribe("lab", lambda: seen.append(len(resolver.resolve("lab").endpoints)))
        until(lambda: resolver.resolve("lab").endpoints)
        with ActorServer(etcd.url, namespace=namespace) as third:
            third.register("lab", Lab())
            third.serve_background()
            until(lambda: 3 in seen)
        end()


# --- resolvers of the user's own --------------------------------------------------------------------


class OnlyFirst(EtcdResolver):
    """Finds the first endpoint of each name."""

    def resolve(self, name: str) -> ResolveResult:
        found = super().resolve(name)
        return ResolveResult(found.name, found.endpoints[:1], found.revision)


class StillOnlyFirst(OnlyFirst):
    """The same, inherited."""


@pytest.mark.parametrize("kind", [OnlyFirst, StillOnlyFirst])
def test_calls_go_where_an_overridden_resolve_says(two, etcd, namespace, kind):
    with kind(etcd.url, namespace=namespace) as resolver:
        pool = resolver.lookup("lab")
        assert pool.size == 1
        assert len(pool.broadcast().echo(1)) == 1
        (endpoint,) = resolver.resolve("lab").endpoints
        assert resolver.known("lab").endpoints == (endpoint,)
        pool.wait_for_size(1, timeout=5)
        assert pool.call(timeout=10).echo(1) == 1


def test_an_overridden_resolve_blocks_no_call_before_the_listing(gate, namespace):
    with OnlyFirst(f"etcd://{gate.address}", namespace=namespace) as resolver:
        watch = Stopwatch()
        future = resolver.lookup("lab").submit().echo(1)
        assert "not known yet" in repr(resolver.lookup("lab"))
        assert watch.seconds < 1
        assert future.cancel()


def test_a_resolver_that_blocks_until_it_is_synced_blocks_no_call(two, gate, kept_waiting, namespace):
    class Around(FixedResolver):
        """Asks another resolver."""

        def resolve(self, name: str) -> ResolveResult:
            return kept_waiting.resolve(name)

        def wait_synced(self, name: str, timeout: float | None = None) -> bool:
            return kept_waiting.wait_synced(name, timeout)

        def subscribe(self, name: str, on_change: Callable[[], None]) -> Callable[[], None]:
            return kept_waiting.subscribe(name, on_change)

    pool = Around({}, namespace=namespace).lookup("lab")
    watch = Stopwatch()
    future = pool.submit(timeout=20).echo(3)
    assert watch.seconds < 1
    gate.resume()
    assert future.result(20) == 3
    assert pool.size == 2
