"""ScheduledTask: what the scheduler knows of a submitted call."""

from __future__ import annotations

from typing import TypeVar


class ScheduledTask:
    """One submitted call. Subclasses say how long it may take and whether its caller still wants it.

    Attributes:
        seq: its number in the pool; later tasks have higher ones.
        timeout: seconds that it may run; None for ever.
        max_retries: how often it is run again when its worker died while it ran.
        started: whether it was given to a worker, so that its caller alone can no longer cancel it.
        unwanted: whether it was cancelled after that: it is not given to another worker.
        deaths: how many workers died while they ran it.
        cost: seconds that it was expected to take when it was given to a worker.
    """

    seq: int
    timeout: float | None = None
    max_retries: int = 0
    started = False
    unwanted = False
    deaths = 0
    cost = 0.0

    @property
    def expected(self) -> float:
        """Seconds that it will take, as far as anyone can tell; infinite when nobody can."""
        raise NotImplementedError

    @property
    def cancelled(self) -> bool:
        """Whether its caller cancelled it before it was started."""
        raise NotImplementedError

    def claim(self) -> bool:
        """Put it past the point where its caller alone can cancel it. False: it is cancelled."""
        raise NotImplementedError

    def measured(self, seconds: float) -> None:
        """It ran for `seconds`."""
        raise NotImplementedError


T = TypeVar("T", bound=ScheduledTask)
"""The kind of task that a scheduler is used with."""
