"""Waiting for a condition, bounded, without guessing how long it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 15.0
_STEP = 0.005


def until(condition: Callable[[], T], timeout: float = PATIENCE, what: str = "the condition") -> T:
    """The first true value of `condition()`, asked again and again for up to `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {timeout} s (last: {value!r})")
        time.sleep(_STEP)


async def until_async(condition: Callable[[], T]) -> T:
    """As `until`, without blocking the event loop."""
    end = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"the condition did not come true within {PATIENCE} s (last: {value!r})")
        await asyncio.sleep(_STEP)


class Stopwatch:
    """Seconds since it was made or entered."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start
