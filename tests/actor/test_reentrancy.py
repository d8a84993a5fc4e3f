"""A call chain that comes back to a busy actor is refused instead of left to deadlock."""

from __future__ import annotations

import asyncio

import pytest

from iris_actor import ActorServer, FixedResolver, method
from iris_actor.errors import ReentrantCallError


class Caller:
    """Calls the actors that it is told to."""

    def __init__(self) -> None:
        self.resolver: FixedResolver | None = None

    def _pool(self, name: str):
        return self.resolver.lookup(name)

    def chain(self, names: list[str]) -> list[str]:
        """Call the first of `names` with the rest."""
        if not names:
            return ["end"]
        return [names[0], *self._pool(names[0]).call().chain(names[1:])]

    async def chain_async(self, names: list[str]) -> list[str]:
        if not names:
            return ["end"]
        return [names[0], *await self._pool(names[0]).acall().chain_async(names[1:])]

    async def both(self, names: list[str]) -> list:
        calls = [self._pool(name).acall().leaf() for name in names]
        return await asyncio.gather(*calls)

    def leaf(self) -> str:
        return "leaf"

    @method(group="control")
    def control(self) -> str:
        return "control"

    def ask_control(self, name: str) -> str:
        return self._pool(name).call().control()


@pytest.fixture
def actors():
    """Starts actors, each on a server of its own."""
    servers = []

    def start(**limits: int):
        addresses = {}
        hosted = []
        for name, limit in limits.items():
            server = ActorServer(namespace="test")
            caller = Caller()
            server.register(name, caller, max_concurrency=limit)
            server.serve_background()
            servers.append(server)
            hosted.append(caller)
            addresses[name] = server.address
        resolver = FixedResolver(addresses, namespace="test")
        for caller in hosted:
            caller.resolver = resolver
        return resolver

    yield start
    for server in servers:
        server.stop()


@pytest.mark.parametrize("way", ["chain", "chain_async"])
@pytest.mark.parametrize("path", [["a"], ["b", "a"], ["b", "c", "a"]], ids="-".join)
def test_a_chain_that_comes_back_to_a_busy_serial_actor_is_refused_at_once(actors, way, path):
    resolver = actors(a=1, b=1, c=1)
    with pytest.raises(ReentrantCallError, match=r"test/a.*max_concurrency") as caught:
        getattr(resolver.lookup("a").call(timeout=20), way)(path)
    assert not caught.value.may_have_run
    assert resolver.lookup("a").call(timeout=20).leaf() == "leaf", "the actor is free again"


@pytest.mark.parametrize("way", ["chain", "chain_async"])
@pytest.mark.parametrize("path", [["a"], ["b", "a"]], ids="-".join)
def test_a_chain_may_come_back_where_there_is_room(actors, way, path):
    resolver = actors(a=2, b=1)
    assert getattr(resolver.lookup("a").call(timeout=20), way)(path) == [*path, "end"]


def test_a_chain_that_fills_all_the_room_is_refused(actors):
    resolver = actors(a=2, b=2)
    with pytest.raises(ReentrantCallError):
        resolver.lookup("a").call(timeout=20).chain(["b", "a", "b", "a"])


def test_a_chain_may_come_back_to_another_group(actors):
    resolver = actors(a=1, b=1)
    assert resolver.lookup("a").call(timeout=20).ask_control("a") == "control"


def test_a_chain_without_a_circle_is_no_reentrance(actors):
    resolver = actors(a=1, b=1, c=1)
    assert resolver.lookup("a").call(timeout=20).chain(["b", "c"]) == ["b", "c", "end"]


def test_two_calls_of_one_method_to_the_same_actor_are_no_reentrance(actors):
    resolver = actors(a=1, b=1)
    assert resolver.lookup("a").call(timeout=20).both(["b", "b"]) == ["leaf", "leaf"]


def test_a_busy_actor_that_the_chain_does_not_wait_for_is_waited_for(actors):
    resolver = actors(a=1, b=1)
    chains = [resolver.lookup("a").submit().chain(["b"]) for _ in range(20)]
    leaves = [resolver.lookup("b").submit().leaf() for _ in range(20)]
    assert [future.result(20) for future in chains] == [["b", "end"]] * 20
    assert [future.result(20) for future in leaves] == ["leaf"] * 20
