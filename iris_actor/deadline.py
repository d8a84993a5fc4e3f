"""Deadline: one monotonic point in time that goes through every wait and attempt of a call."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Self


def check_timeout(timeout: float | None) -> float | None:
    """`timeout` itself, when it is None or a number of seconds that is not negative; infinity is None.

    Raises:
        ValueError: when it is negative or not a number.
        TypeError: when it is of another type.
    """
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be a number of seconds or None, not {timeout!r}")
    if math.isnan(timeout) or timeout < 0:
        raise ValueError(f"timeout must not be negative or NaN, got {timeout!r}")
    return None if timeout == math.inf else timeout


@dataclass(frozen=True, slots=True, order=True)
class Deadline:
    """A point on this machine's monotonic clock. Between machines only the time left travels."""

    at: float

    @classmethod
    def after(cls, timeout: float) -> Self:
        """The deadline `timeout` seconds from now; `math.inf` never passes."""
        return cls(time.monotonic() + timeout)

    @classmethod
    def of(cls, timeout: float | None) -> Self:
        """The deadline `timeout` seconds from now; None never passes."""
        return cls(math.inf) if timeout is None else cls.after(timeout)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative; `math.inf` for a deadline that never passes."""
        return max(0.0, self.at - time.monotonic())

    @property
    def timeout(self) -> float | None:
        """Seconds left in the form that waits take: None for a deadline that never passes."""
        return None if self.at == math.inf else self.remaining

    @property
    def passed(self) -> bool:
        """Whether the point in time is behind us."""
        return time.monotonic() >= self.at
