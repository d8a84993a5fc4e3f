"""Backoff."""

from __future__ import annotations

import pytest

from iris_actor.retry import Backoff


def test_waits_grow_to_the_most_with_jitter_down_to_a_half():
    backoff = Backoff(first=1, most=10, factor=2)
    for attempt, whole in enumerate([1, 2, 4, 8, 10, 10]):
        delays = [backoff.delay(attempt) for _ in range(200)]
        assert whole / 2 <= min(delays)
        assert max(delays) <= whole


def test_waits_of_many_clients_differ():
    assert len({Backoff().delay(3) for _ in range(50)}) > 1


def test_a_huge_attempt_does_not_overflow():
    assert Backoff(first=1, most=7).delay(10**9) <= 7


@pytest.mark.parametrize("bad", [{"first": 0}, {"first": -1}, {"first": 2, "most": 1}, {"factor": 0.5}])
def test_a_backoff_that_makes_no_sense_is_refused(bad):
    with pytest.raises(ValueError, match="Backoff needs"):
        Backoff(**bad)
