"""Options of pools and calls that make no sense are refused where they are given."""

from __future__ import annotations

import math

import pytest

from iris_actor import FixedResolver
from iris_actor.errors import DeadlineExceededError, InvalidNameError
from tests.support.lab import Lab
from tests.support.serving import hosting, lookup_at


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"balancer": "best"}, "unknown balancer 'best'"),
        ({"on_full": "drop"}, "on_full must be"),
        ({"max_retries": -1}, "max_retries must be"),
        ({"max_retries": 1.5}, "max_retries must be"),
        ({"max_retries": True}, "max_retries must be"),
        ({"resolve_timeout": None}, "resolve_timeout must be"),
        ({"resolve_timeout": -1}, "must not be negative"),
    ],
)
def test_a_bad_option_of_a_pool_is_a_value_error(options, message):
    with pytest.raises(ValueError, match=message):
        FixedResolver({}, namespace="test").lookup("actor", **options)


@pytest.mark.parametrize("way", ["call", "submit", "acall", "stream"])
def test_a_bad_timeout_is_refused_by_every_way_to_call(way):
    pool = lookup_at("127.0.0.1:1")
    with pytest.raises(ValueError, match="must not be negative"):
        getattr(pool, way)(timeout=-1).echo(1)
    with pytest.raises(TypeError, match="must be a number"):
        getattr(pool, way)(timeout="5").echo(1)


def test_a_key_that_is_no_string_is_a_type_error():
    with pytest.raises(TypeError, match="key must be a str"):
        lookup_at("127.0.0.1:1").call(key=3)


@pytest.mark.parametrize("address", ["", "host", "host:", ":80", "host:0", "host:65536", "host:port"])
def test_a_fixed_address_must_be_host_and_port(address):
    with pytest.raises(ValueError, match="host:port"):
        FixedResolver({"actor": address})


@pytest.mark.parametrize("name", ["", "a b", "/alone", "_private"])
def test_a_bad_name_is_refused_at_lookup(name):
    with pytest.raises(InvalidNameError):
        FixedResolver({}, namespace="test").lookup(name)


@pytest.mark.parametrize("size", [-1, 1.5, True, None])
def test_waiting_for_a_size_that_is_none_is_a_value_error(size):
    with pytest.raises(ValueError, match="size must be"):
        lookup_at("127.0.0.1:1").wait_for_size(size)


def test_an_infinite_timeout_is_no_timeout():
    with hosting(Lab()) as hosted:
        assert hosted.pool.call(timeout=math.inf).echo(1) == 1
        assert hosted.pool.submit(timeout=math.inf).echo(2).result(5) == 2
        assert hosted.pool.broadcast().echo(3).wait_all(timeout=math.inf)[0].value == 3


def test_a_timeout_of_zero_has_passed_before_it_starts():
    with hosting(Lab()) as hosted:
        with pytest.raises(DeadlineExceededError):
            hosted.pool.call(timeout=0).count("zero")
