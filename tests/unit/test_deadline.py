"""Deadlines and the check of timeouts."""

from __future__ import annotations

import math

import pytest

from iris_actor.deadline import Deadline, check_timeout


@pytest.mark.parametrize("timeout", [None, 0, 0.5, 3])
def test_a_timeout_that_makes_sense_is_itself(timeout):
    assert check_timeout(timeout) == timeout


def test_an_infinite_timeout_is_none():
    assert check_timeout(math.inf) is None


@pytest.mark.parametrize("timeout", [-1, -0.001, math.nan, -math.inf])
def test_a_negative_timeout_or_nan_is_a_value_error(timeout):
    with pytest.raises(ValueError, match="must not be negative"):
        check_timeout(timeout)


@pytest.mark.parametrize("timeout", ["5", True, [1], object()])
def test_a_timeout_of_another_type_is_a_type_error(timeout):
    with pytest.raises(TypeError, match="must be a number of seconds"):
        check_timeout(timeout)


def test_a_deadline_of_none_never_passes():
    deadline = Deadline.of(None)
    assert not deadline.passed
    assert deadline.timeout is None
    assert deadline.remaining == math.inf


def test_an_infinite_timeout_never_passes_either():
    assert Deadline.after(math.inf).timeout is None


def test_a_deadline_counts_down_to_zero_and_not_below():
    deadline = Deadline.after(0)
    assert deadline.passed
    assert deadline.remaining == 0
    assert deadline.timeout == 0


def test_a_deadline_ahead_has_time_left():
    deadline = Deadline.of(60)
    assert not deadline.passed
    assert 59 < deadline.remaining <= 60


def test_the_earlier_of_two_deadlines_is_the_smaller():
    near, far = Deadline.after(1), Deadline.after(2)
    assert min(far, near) is near
    assert min(near, Deadline.of(None)) is near
