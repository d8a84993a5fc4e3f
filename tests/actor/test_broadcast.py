"""One call to every endpoint."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from iris_actor import FixedResolver
from iris_actor.errors import CallError, DeadlineExceededError
from tests.support.serving import hosting, lookup_at
from tests.support.waiting import Stopwatch, until


class Member:
    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0
        self.go = threading.Event()

    def reload(self, failing: str = "") -> str:
        self.calls += 1
        if self.name == failing:
            raise ValueError(f"{self.name} failed")
        return self.name

    def hold(self, free: str = "") -> str:
        self.calls += 1
        if self.name != free:
            assert self.go.wait(20)
        return self.name


@pytest.fixture
def group():
    with ExitStack() as stack:
        actors = [Member(name) for name in "abc"]
        hosted = [stack.enter_context(hosting(actor)) for actor in actors]
        yield actors, hosted, lookup_at(*(one.address for one in hosted))
        for actor in actors:
            actor.go.set()


def test_every_endpoint_is_called_once_and_reports_its_value(group):
    actors, hosted, pool = group
    results = pool.broadcast().reload().wait_all(timeout=10)
    assert [result.value for result in results] == ["a", "b", "c"]
    assert [result.endpoint.address for result in results] == [one.address for one in hosted]
    assert all(result.ok and result.exception is None for result in results)
    assert [actor.calls for actor in actors] == [1, 1, 1]


def test_one_that_fails_reports_its_exception_beside_the_values_of_the_others(group):
    _, _, pool = group
    good, bad, other = pool.broadcast().reload("b").wait_all(timeout=10)
    assert (good.result(), other.result()) == ("a", "c")
    assert not bad.ok
    assert isinstance(bad.exception, ValueError)
    with pytest.raises(ValueError, match="b failed"):
        bad.result()


def test_one_deadline_holds_for_all_of_them_together(group):
    actors, _, pool = group
    watch = Stopwatch()
    results = pool.broadcast().hold(free="b").wait_all(timeout=0.4)
    assert watch.seconds < 0.4 + 5, "not the timeout times the number of endpoints"
    assert [result.ok for result in results] == [False, True, False]
    assert isinstance(results[0].exception, DeadlineExceededError)
    assert "0.4 s" in str(results[0].exception)
    assert [actor.calls for actor in actors] == [1, 1, 1]


def test_an_endpoint_that_is_dead_fails_at_once_and_its_call_goes_nowhere_else(group):
    actors, hosted, pool = group
    hosted[1].server.stop()
    results = pool.broadcast().reload().wait_all(timeout=10)
    assert [result.ok for result in results] == [True, False, True]
    assert isinstance(results[1].exception, CallError)
    assert not results[1].exception.may_have_run
    assert [actor.calls for actor in actors] == [1, 0, 1]


def test_a_broadcast_gives_pairs_of_endpoint_and_future(group):
    _, hosted, pool = group
    broadcast = pool.broadcast().reload()
    assert len(broadcast) == 3
    pairs = list(broadcast)
    assert [endpoint.address for endpoint, _ in pairs] == [one.address for one in hosted]
    assert [future.result(10) for _, future in pairs] == ["a", "b", "c"]


def test_a_broadcast_to_nobody_is_empty():
    pool = FixedResolver({}, namespace="test").lookup("nobody")
    assert pool.broadcast().reload().wait_all(timeout=1) == []


def test_what_a_late_endpoint_would_do_is_cancelled_at_the_deadline(group):
    actors, hosted, pool = group
    blocking = hosted[0].pool.submit().hold()
    until(lambda: actors[0].calls == 1)
    results = pool.broadcast().reload().wait_all(timeout=0.3)
    assert [result.ok for result in results] == [False, True, True]
    until(lambda: hosted[0].server.in_flight == 1)
    actors[0].go.set()
    blocking.result(10)
    assert hosted[0].pool.call(timeout=10).reload() == "a"
    assert actors[0].calls == 2, "the queued call of the broadcast never ran"
