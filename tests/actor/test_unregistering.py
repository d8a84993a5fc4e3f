"""Taking actors and servers away while calls run."""

from __future__ import annotations

import pytest

from iris_actor import ActorServer
from iris_actor.actor.balancer import Hash
from iris_actor.errors import ActorNotFoundError, ConnectionLostError
from tests.support.serving import NAME, hosting, lookup_at
from tests.support.waiting import until, until_async


class Slow:
    def __init__(self) -> None:
        self.running = 0
        self.go = False

    def plain(self) -> str:
        self.running += 1
        until(lambda: self.go)
        return "done"

    async def coroutine(self) -> str:
        self.running += 1
        await until_async(lambda: self.go)
        return "done"


@pytest.mark.parametrize("name", ["plain", "coroutine"])
def test_unregistering_lets_a_running_call_finish_and_turns_waiting_ones_away(name):
    actor = Slow()
    with hosting(actor, lookup={"resolve_timeout": 0.5}) as hosted:
        running = getattr(hosted.pool.submit(), name)()
        until(lambda: actor.running)
        waiting = getattr(hosted.pool.submit(), name)()
        until(lambda: hosted.server.in_flight == 2)
        hosted.server.unregister(NAME)
        with pytest.raises(ActorNotFoundError):
            waiting.result(10)
        assert not running.done()
        actor.go = True
        assert running.result(10) == "done"
        assert actor.running == 1


def test_a_waiting_call_goes_elsewhere_when_its_actor_is_unregistered():
    actor = Slow()
    with hosting(actor) as leaving, hosting(Slow()) as staying:
        pool = lookup_at(leaving.address, staying.address, balancer="hash")
        running = leaving.pool.submit().plain()
        until(lambda: actor.running)
        key = next(k for k in map(str, range(100)) if _goes_to(pool, k) == leaving.address)
        waiting = pool.submit(key=key).coroutine()
        until(lambda: leaving.server.in_flight == 2)
        leaving.server.unregister(NAME)
        until(lambda: staying.server.in_flight == 1)
        actor.go = True
        assert running.result(10) == "done"
        waiting.cancel()


def _goes_to(pool, key):
    return Hash().pick(pool.endpoints(), key, lambda _: 0).address


def test_stopping_ends_unfinished_calls_with_an_error_and_is_idempotent():
    actor = Slow()
    with hosting(actor, lookup={"resolve_timeout": 0.3}) as hosted:
        future = hosted.pool.submit().plain()
        until(lambda: actor.running)
        hosted.server.stop()
        hosted.server.stop()
        with pytest.raises(ConnectionLostError):
            future.result(10)
        actor.go = True


def test_leaving_the_context_after_an_error_does_not_wait_for_calls():
    actor = Slow()
    futures = []

    def fail() -> None:
        with ActorServer(namespace="test") as server:
            server.register(NAME, actor)
            server.serve_background()
            futures.append(lookup_at(server.address, resolve_timeout=0.3).submit().plain())
            until(lambda: actor.running)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail()
    assert isinstance(futures[0].exception(10), ConnectionLostError)
    actor.go = True
