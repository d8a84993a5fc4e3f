"""Tracker: the actor to which the workers report what they do."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time that a worker ran a configuration. Times are the tracker's, in seconds since its start.

    Attributes:
        config: number of the configuration.
        number: which attempt at it this is, from 1.
        worker: name of the worker.
        pid: its process.
        started: when it began.
        ended: when it ended, or when its worker was lost; None while it runs.
        accuracy: the mean accuracy; None while it runs, and when the worker was lost.
    """

    config: int
    number: int
    worker: str
    pid: int
    started: float
    ended: float | None = None
    accuracy: float | None = None

    @property
    def lost(self) -> bool:
        """Whether it ended without a result."""
        return self.ended is not None and self.accuracy is None


class Tracker:
    """Keeps an account of all attempts. It handles one call at a time, so it needs no lock."""

    def __init__(self) -> None:
        self._zero = time.monotonic()
        self._attempts: dict[tuple[int, int], Attempt] = {}

    def started(self, config: int, worker: str, pid: int) -> int:
        """A worker begins with a configuration; returns the number of the attempt."""
        number = 1 + sum(1 for known, _ in self._attempts if known == config)
        self._attempts[config, number] = Attempt(config, number, worker, pid, self._now())
        return number

    def finished(self, config: int, number: int, accuracy: float) -> None:
        """An attempt has a result."""
        key = config, number
        self._attempts[key] = replace(self._attempts[key], ended=self._now(), accuracy=accuracy)

    def lost(self, pid: int) -> list[Attempt]:
        """The process is gone: ends what it was running, and returns that."""
        gone = {
            key: replace(attempt, ended=self._now())
            for key, attempt in self._attempts.items()
            if attempt.pid == pid and attempt.ended is None
        }
        self._attempts.update(gone)
        return list(gone.values())

    def running(self) -> list[Attempt]:
        """What runs now, longest first."""
        return [attempt for attempt in self._attempts.values() if attempt.ended is None]

    def attempts(self) -> list[Attempt]:
        """All attempts, in the order in which they began."""
        return list(self._attempts.values())

    def _now(self) -> float:
        return time.monotonic() - self._zero
