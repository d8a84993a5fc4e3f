"""A connection that breaks and comes back: every call runs exactly once, and its caller never notices."""

from __future__ import annotations

import hashlib
import threading

import numpy as np
import pytest

from iris_actor import Limits
from iris_actor.errors import ConnectionLostError
from tests.support.lab import Lab
from tests.support.proxy import Proxy
from tests.support.serving import Hosted, hosting, lookup_at
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("without_lane")
"""The faults are those of the network."""


class Counting(Lab):
    """A Lab that runs in the test's own process, and can be asked without a call."""

    def count_many(self, number: int) -> int:
        self._counts["many"] += 1
        self._counts[f"many {number}"] += 1
        return number

    def digest(self, array: np.ndarray) -> tuple[str, np.ndarray]:
        self._counts["digest"] += 1
        return hashlib.sha256(array).hexdigest(), array


class Through(Hosted):
    """A hosted actor whose pool goes through a proxy."""

    proxy: Proxy
    actor: Counting


@pytest.fixture
def through():
    actor = Counting()
    with hosting(
        actor, max_concurrency=8, concurrency_groups={"control": 4}, limits=Limits(resume_window=10)
    ) as hosted:
        with Proxy(hosted.address) as proxy:
            through = Through(hosted.server, proxy.address, lookup_at(proxy.address))
            through.proxy = proxy
            through.actor = actor
            assert through.pool.call(timeout=10).echo("connected") == "connected"
            yield through


def test_a_call_that_runs_survives_a_cut_and_ran_once(through):
    future = through.pool.submit().hold("gate")
    until(lambda: through.actor.counted("gate") == 1)
    through.proxy.cut()
    until(lambda: through.proxy.connections)
    assert not future.done()
    through.actor.release("gate")
    assert future.result(15).startswith("gate")
    assert through.actor.counted("gate") == 1


def test_a_call_made_while_the_connection_is_down_is_sent_when_it_is_back(through):
    through.proxy.hang_up()
    futures = [through.pool.submit().count("down") for _ in range(10)]
    through.proxy.hang_up(hanging=False)
    assert sorted(future.result(15) for future in futures) == list(range(1, 11))


def test_a_reply_that_was_cut_off_is_replayed(through):
    future = through.pool.submit().hold("gate")
    until(lambda: through.actor.counted("gate") == 1)
    through.proxy.stall()
    through.actor.release("gate")
    until(lambda: through.server.in_flight == 0)
    through.proxy.cut()
    through.proxy.resume()
    assert future.result(15).startswith("gate")
    assert through.actor.counted("gate") == 1


def test_a_call_whose_request_was_cut_off_is_sent_again_and_runs_once(through):
    through.proxy.stall()
    futures = [through.pool.submit().count("lost") for _ in range(50)]
    through.proxy.cut()
    through.proxy.resume()
    assert sorted(future.result(15) for future in futures) == list(range(1, 51))


def test_a_network_that_stalls_and_goes_on_is_only_slow(through):
    through.proxy.stall()
    future = through.pool.submit().count("slow")
    through.proxy.resume()
    assert future.result(15) == 1


def test_a_large_argument_and_result_survive_cuts_in_the_middle(through):
    array = np.random.default_rng(1).integers(0, 255, 48_000_000, dtype=np.uint8)
    for size in (5_000_000, 30_000_000, 60_000_000, 80_000_000):
        through.proxy.cut_after(size)
    accepted = through.proxy.accepted
    digest, back = through.pool.call(timeout=50).digest(array)
    assert through.proxy.accepted >= accepted + 4, "it was cut that often"
    assert digest == hashlib.sha256(array).hexdigest()
    assert np.array_equal(back, array)
    assert through.actor.counted("digest") == 1


def test_a_stream_survives_cuts_with_every_item_once_and_in_order(through):
    taken = []
    for number in through.pool.stream().items(3_000):
        taken.append(number)
        if number % 700 == 300:
            through.proxy.cut()
    assert taken == list(range(3_000))
    assert through.actor.counted("items") == 3_000


def test_a_stream_that_is_cancelled_while_cut_is_closed_afterwards(through):
    stream = through.pool.stream().items(1_000_000)
    assert next(stream) == 0
    through.proxy.hang_up()
    stream.close()
    through.proxy.hang_up(hanging=False)
    until(lambda: through.actor.counted("items closed") == 1)


def test_a_call_that_is_cancelled_while_cut_is_cancelled_afterwards(through):
    future = through.pool.submit().wait_cancelled("it")
    until(lambda: through.actor.counted("it began") == 1)
    through.proxy.hang_up()
    assert future.cancel()
    through.proxy.hang_up(hanging=False)
    until(lambda: through.actor.counted("it cancelled") == 1)


def test_two_thousand_calls_run_exactly_once_each_whatever_is_cut(through):
    results = []
    for number in through.pool.map(range(2_000)).count_many(in_flight=50):
        results.append(number)
        if number % 100 == 50:
            through.proxy.cut()
    assert results == list(range(2_000))
    assert through.actor.counted("many") == 2_000
    assert all(through.actor.counted(f"many {number}") == 1 for number in range(2_000))
    assert through.proxy.accepted > 20


def test_a_session_that_takes_over_a_half_open_connection_outlives_the_window():
    window = 0.7
    actor = Counting()
    with hosting(actor, max_concurrency=2, limits=Limits(resume_window=window)) as hosted:
        with Proxy(hosted.address) as proxy:
            pool = lookup_at(proxy.address)
            future = pool.submit().hold("gate")
            until(lambda: actor.counted("gate") == 1)
            proxy.cut_callers()
            pool.call(timeout=10).count("after the cut")
            # The timer that is to be disproved has nothing to wait for but its own time.
            expired = threading.Event()
            threading.Timer(2 * window, expired.set).start()
            assert expired.wait(10)
            assert pool.call(timeout=10).count("after the window") == 1
            actor.release("gate")
            assert future.result(10).startswith("gate")
    assert actor.counted("gate") == 1


def test_a_session_expires_after_its_window_and_its_calls_are_cancelled_at_the_server():
    actor = Counting()
    with hosting(actor, max_concurrency=2, limits=Limits(resume_window=0.5)) as hosted:
        with Proxy(hosted.address) as proxy:
            future = lookup_at(proxy.address).submit().wait_cancelled("it")
            until(lambda: actor.counted("it began") == 1)
            proxy.hang_up()
            with pytest.raises(ConnectionLostError) as caught:
                future.result(15)
            assert caught.value.may_have_run
            until(lambda: actor.counted("it cancelled") == 1)
            until(lambda: hosted.server.in_flight == 0)


def test_a_caller_that_comes_back_too_late_is_told_that_its_session_expired():
    actor = Counting()
    with hosting(actor, max_concurrency=2, limits=Limits(resume_window=0.5)) as hosted:
        with Proxy(hosted.address) as proxy:
            pool = lookup_at(proxy.address)
            future = pool.submit().wait_cancelled("it")
            until(lambda: actor.counted("it began") == 1)
            proxy.stall()
            # The server sees its side end; the caller's is stalled and knows nothing yet.
            proxy.hang_up()
            until(lambda: actor.counted("it cancelled") == 1)
            proxy.hang_up(hanging=False)
            proxy.resume()
            assert isinstance(future.exception(15), ConnectionLostError)
            assert pool.call(timeout=10).count("new session") == 1


def test_an_idle_session_survives_a_cut_too(through):
    for number in range(1, 6):
        through.proxy.cut()
        assert through.pool.call(timeout=15).count("idle") == number


def test_cuts_while_many_threads_call_lose_nothing(through):
    results: list[int] = []

    def work() -> None:
        for _ in range(100):
            results.append(through.pool.call(timeout=30).count("threads"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while alive := [thread for thread in threads if thread.is_alive()]:
        through.proxy.cut()
        alive[0].join(0.1)
    assert sorted(results) == list(range(1, 401))


def test_calls_of_one_thread_arrive_in_order_whatever_is_cut():
    class InOrder:
        def __init__(self) -> None:
            self.seen: list[int] = []

        def note(self, number: int) -> None:
            self.seen.append(number)

    actor = InOrder()
    with hosting(actor) as hosted, Proxy(hosted.address) as proxy:
        pool = lookup_at(proxy.address)
        futures = []
        for number in range(3_000):
            futures.append(pool.submit().note(number))
            if number % 500 == 250:
                futures[-200].result(20)
                proxy.cut()
        for future in futures:
            future.result(20)
    assert actor.seen == list(range(3_000))


@pytest.mark.soak
def test_a_network_that_swallows_everything_is_noticed_and_the_session_resumes(through):
    future = through.pool.submit().hold("gate")
    until(lambda: through.actor.counted("gate") == 1)
    accepted = through.proxy.accepted
    through.proxy.stall()
    # Nobody closes anything: only the keepalive can tell that the connection is dead.
    until(lambda: through.proxy.accepted > accepted, timeout=40, what="another connection")
    through.proxy.resume()
    through.actor.release("gate")
    assert future.result(30).startswith("gate")
    assert through.actor.counted("gate") == 1
