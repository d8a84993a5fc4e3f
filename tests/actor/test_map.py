"""pool.map: one method over many items, load-balanced, in order, bounded."""

from __future__ import annotations

import threading

import pytest

from iris_actor.errors import DeadlineExceededError
from tests.support.serving import hosting, lookup_at
from tests.support.waiting import until


class Worker:
    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.calls = 0
        self.lock = threading.Lock()
        self.go = threading.Event()

    def square(self, x: int, offset: int = 0) -> int:
        with self.lock:
            self.calls += 1
            self.now += 1
            self.most = max(self.most, self.now)
        if x < 0:
            self.now -= 1
            raise ValueError(f"negative {x}")
        self.now -= 1
        return x * x + offset

    def hold(self, x: int) -> int:
        with self.lock:
            self.calls += 1
        assert self.go.wait(20)
        return x


@pytest.fixture
def hosted():
    actor = Worker()
    with hosting(actor, max_concurrency=16) as hosted:
        hosted.actor = actor
        yield hosted
        actor.go.set()


@pytest.mark.parametrize("in_flight", [1, 3, 100])
def test_results_come_in_the_order_of_the_items(hosted, in_flight):
    assert list(hosted.pool.map(range(200)).square(in_flight=in_flight)) == [x * x for x in range(200)]


def test_keyword_arguments_go_with_every_call(hosted):
    assert list(hosted.pool.map([1, 2]).square(offset=10)) == [11, 14]


def test_items_are_read_only_as_far_as_needed(hosted):
    read: list[int] = []

    def items():
        for number in range(1_000_000):
            read.append(number)
            yield number

    results = hosted.pool.map(items()).square(in_flight=4)
    assert read == []
    assert [next(results) for _ in range(10)] == [x * x for x in range(10)]
    assert len(read) <= 10 + 4
    results.close()


def test_no_more_than_in_flight_calls_are_under_way(hosted):
    results = hosted.pool.map(range(50)).hold(in_flight=5)
    first: list[int] = []
    thread = threading.Thread(target=lambda: first.append(next(results)))
    thread.start()
    until(lambda: hosted.actor.calls == 5)
    assert hosted.server.in_flight == 5
    hosted.actor.go.set()
    thread.join(10)
    assert first == [0]
    assert list(results) == list(range(1, 50))


def test_an_exception_is_raised_where_its_result_would_stand(hosted):
    results = hosted.pool.map([1, 2, -3, 4]).square()
    assert [next(results), next(results)] == [1, 4]
    with pytest.raises(ValueError, match="negative -3"):
        next(results)
    assert list(results) == []


def test_leaving_early_cancels_what_is_under_way(hosted):
    results = hosted.pool.map(range(100)).hold(in_flight=30)
    thread = threading.Thread(target=lambda: next(results, None))
    thread.start()
    until(lambda: hosted.server.in_flight == 30)
    hosted.actor.go.set()
    thread.join(10)
    results.close()
    until(lambda: hosted.server.in_flight == 0)
    assert hosted.actor.calls < 100


def test_the_timeout_is_for_each_call(hosted):
    with pytest.raises(DeadlineExceededError):
        list(hosted.pool.map(range(3), timeout=0.2).hold())


@pytest.mark.parametrize("in_flight", [0, -1, 1.5, True, None])
def test_a_bad_in_flight_is_a_value_error(hosted, in_flight):
    with pytest.raises(ValueError, match="in_flight must be"):
        hosted.pool.map([1]).square(in_flight=in_flight)


def test_no_items_give_no_results(hosted):
    assert list(hosted.pool.map([]).square()) == []


def test_the_calls_are_spread_over_the_endpoints():
    one, other = Worker(), Worker()
    with hosting(one) as here, hosting(other) as there:
        pool = lookup_at(here.address, there.address)
        assert list(pool.map(range(40)).square(in_flight=4)) == [x * x for x in range(40)]
    assert (one.calls, other.calls) == (20, 20)
