"""A serial actor: one call at a time, in order of arrival; and the limits that raise that."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from iris_actor import method
from tests.support.serving import hosting
from tests.support.waiting import until, until_async


class Overlap:
    """Knows how many of its calls run at a time."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.seen: list[int] = []
        self._lock = threading.Lock()
        self.go = threading.Event()

    def _enter(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def _leave(self) -> None:
        with self._lock:
            self.now -= 1

    def plain(self, number: int = 0) -> None:
        self._enter()
        time.sleep(0)
        self.seen.append(number)
        self._leave()

    async def coroutine(self, number: int = 0) -> None:
        self._enter()
        await asyncio.sleep(0)
        self.seen.append(number)
        self._leave()

    def generator(self, number: int = 0):
        self._enter()
        yield number
        time.sleep(0)
        self.seen.append(number)
        self._leave()

    def hold(self) -> None:
        self._enter()
        assert self.go.wait(20)
        self._leave()

    async def hold_async(self) -> None:
        self._enter()
        await until_async(self.go.is_set)
        self._leave()

    @method(group="control")
    def heartbeat(self) -> int:
        return self.now

    @method(group="control")
    def hold_control(self) -> None:
        self.hold()

    @method(group="control")
    async def heartbeat_async(self) -> int:
        return self.now


@pytest.mark.parametrize("name", ["plain", "coroutine"])
def test_thousands_of_calls_from_one_thread_arrive_in_order_one_at_a_time(name):
    actor = Overlap()
    with hosting(actor) as hosted:
        futures = [getattr(hosted.pool.submit(), name)(i) for i in range(3_000)]
        for future in futures:
            future.result(30)
    assert actor.seen == list(range(3_000))
    assert actor.most == 1


def test_plain_and_async_methods_of_a_serial_actor_never_overlap_and_keep_their_order():
    actor = Overlap()
    with hosting(actor) as hosted:
        submit = hosted.pool.submit()
        futures = [(submit.plain if i % 3 else submit.coroutine)(i) for i in range(600)]
        for future in futures:
            future.result(30)
    assert actor.seen == list(range(600))
    assert actor.most == 1


def test_streams_of_a_serial_actor_take_their_turn_too():
    actor = Overlap()
    with hosting(actor) as hosted:
        streams = [hosted.pool.stream().generator(i) for i in range(20)]
        futures = [hosted.pool.submit().plain(100 + i) for i in range(20)]
        assert [list(stream) for stream in streams] == [[i] for i in range(20)]
        for future in futures:
            future.result(20)
    assert actor.most == 1
    assert actor.seen == [*range(20), *range(100, 120)]


def test_calls_of_several_threads_do_not_overlap():
    actor = Overlap()
    with hosting(actor) as hosted:
        threads = [
            threading.Thread(target=lambda: [hosted.pool.call().plain() for _ in range(50)]) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert len(actor.seen) == 300
    assert actor.most == 1


async def test_calls_of_one_event_loop_arrive_in_order():
    actor = Overlap()
    with hosting(actor) as hosted:
        await asyncio.gather(*(hosted.pool.acall().plain(i) for i in range(500)))
    assert actor.seen == list(range(500))


@pytest.mark.parametrize("name", ["hold", "hold_async"])
@pytest.mark.parametrize("limit", [1, 3])
def test_as_many_calls_run_at_a_time_as_max_concurrency_says(name, limit):
    actor = Overlap()
    with hosting(actor, max_concurrency=limit) as hosted:
        futures = [getattr(hosted.pool.submit(), name)() for _ in range(limit + 3)]
        until(lambda: actor.now == limit)
        until(lambda: hosted.server.in_flight == limit + 3)
        assert actor.now == limit
        actor.go.set()
        for future in futures:
            future.result(20)
    assert actor.most == limit


def test_a_hundred_async_calls_wait_side_by_side():
    actor = Overlap()
    with hosting(actor, max_concurrency=100) as hosted:
        futures = [hosted.pool.submit().hold_async() for _ in range(100)]
        until(lambda: actor.now == 100)
        actor.go.set()
        for future in futures:
            future.result(20)


@pytest.mark.parametrize("busy", ["hold", "hold_async"])
@pytest.mark.parametrize("beat", ["heartbeat", "heartbeat_async"])
def test_a_heartbeat_in_a_group_of_its_own_is_answered_while_training_runs(busy, beat):
    actor = Overlap()
    with hosting(actor) as hosted:
        training = getattr(hosted.pool.submit(), busy)()
        queued = hosted.pool.submit().plain(1)
        until(lambda: actor.now == 1)
        assert getattr(hosted.pool.call(timeout=10), beat)() == 1
        assert not training.done()
        assert not queued.done()
        actor.go.set()
        training.result(20)
        queued.result(20)


def test_a_group_has_a_limit_of_its_own():
    actor = Overlap()
    with hosting(actor, concurrency_groups={"control": 2}) as hosted:
        futures = [hosted.pool.submit().hold_control() for _ in range(4)]
        until(lambda: actor.now == 2 and hosted.server.in_flight == 4)
        hosted.pool.call(timeout=10).plain(5)
        actor.go.set()
        for future in futures:
            future.result(20)
    assert actor.most == 3, "two of the group, and one of the default group beside them"


def test_a_group_that_nothing_is_said_about_is_serial():
    actor = Overlap()
    with hosting(actor) as hosted:
        futures = [hosted.pool.submit().hold_control() for _ in range(3)]
        until(lambda: actor.now == 1 and hosted.server.in_flight == 3)
        actor.go.set()
        for future in futures:
            future.result(20)
    assert actor.most == 1


def test_a_method_that_blocks_its_loop_does_not_hold_up_another_actor():
    blocked, free = Overlap(), Overlap()

    class Blocking:
        async def block(self) -> None:
            blocked.hold()

    with hosting(Blocking()) as one, hosting(free) as other:
        future = one.pool.submit().block()
        until(lambda: blocked.now == 1)
        other.pool.call(timeout=10).coroutine(7)
        blocked.go.set()
        future.result(20)
    assert free.seen == [7]
