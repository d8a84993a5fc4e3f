"""Backoff: how long to wait before the next attempt."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter downwards to a half.

    The jitter keeps many clients that lost one server from coming back in step: Marc Brooker,
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Attributes:
        first: seconds before the first retry.
        most: seconds that no wait exceeds.
        factor: how much longer each wait is than the one before.
    """

    first: float = 0.05
    most: float = 5.0
    factor: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.most or self.factor < 1:
            raise ValueError(f"Backoff needs 0 < first <= most and factor >= 1, got {self!r}")

    def delay(self, attempt: int) -> float:
        """Seconds to wait before retry number `attempt` (from 0)."""
        whole = min(self.most, self.first * self.factor ** min(attempt, 64))
        return whole * (0.5 + random.random() / 2)  # noqa: S311 - jitter, not a secret
