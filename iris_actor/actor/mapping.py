"""Mapping: one method over many items, a bounded number at a time, results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

IN_FLIGHT = 8
"""Calls under way at a time, where nothing is said."""


def map_calls(submit: Callable[[Any], Future[Any]], items: Iterable[Any], in_flight: int) -> Iterator[Any]:
    """Results of ``submit(item)`` for each item, in order, with up to `in_flight` calls under way.

    Raises:
        ValueError: when `in_flight` is below 1.
    """
    if isinstance(in_flight, bool) or not isinstance(in_flight, int) or in_flight < 1:
        raise ValueError(f"in_flight must be a whole number from 1, got {in_flight!r}")
    return _results(submit, iter(items), in_flight)


def _results(submit: Callable[[Any], Future[Any]], items: Iterator[Any], in_flight: int) -> Iterator[Any]:
    under_way: deque[Future[Any]] = deque()
    try:
        # The loops stand elsewhere: CPython 3.13.0 leaves their jumps out of a `try`, Ctrl-C there as well.
        yield from _in_order(submit, items, in_flight, under_way)
    finally:
        _cancel(under_way)


def _in_order(
    submit: Callable[[Any], Future[Any]], items: Iterator[Any], in_flight: int, under_way: deque[Future[Any]]
) -> Iterator[Any]:
    for item in items:
        under_way.append(submit(item))
        if len(under_way) >= in_flight:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def _cancel(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        future.cancel()
