"""Vigil: decides when a server that is no longer announced counts as dead.

An endpoint leaves the registry when its lease ends, which says no more than that the server and its registry
have lost each other. A silent server may be busy. Together they mean its end: the kernel keeps the
connections of a killed process open as long as a child that it forked has them, and nothing else would tell.

Pure: it is told the time and what is known, and says what to do.
"""

from __future__ import annotations

from enum import Enum

ANSWER = 1.0
"""Seconds in which a server acknowledges a packet, if nothing keeps it; it is to do so within 0.2."""
PATIENCE = 4.0
"""Seconds after a question in which any sign of life must have come."""
PAUSE = 5.0
"""Seconds between a sign of life and the next question."""
LATE = 1.0
"""Seconds that a look may come late. After more it is we who were stopped, and the question is void."""


class Step(Enum):
    """What to do now."""

    ASK = "ask"
    """Send something that the server acknowledges."""
    KNOCK = "knock"
    """Open another connection: gRPC's threads answer also while a method holds the interpreter's lock."""
    WAIT = "wait"
    """Nothing before `due`."""
    END = "end"
    """The server is announced again."""
    LOST = "lost"
    """The server counts as dead."""


class Vigil:
    """For one server, from the moment at which it is no longer announced.

    Attributes:
        due: when to look again; by the clock that `look` is given.
    """

    def __init__(self) -> None:
        self.due = 0.0
        self._asked_at: float | None = None
        self._knocked = False
        self._signs = 0

    def look(self, now: float, *, announced: bool, signs: int) -> Step:
        """What to do now.

        Args:
            now: seconds, by a clock that never goes back.
            announced: whether the server is announced again.
            signs: a count that grows with each sign of life.
        """
        if announced:
            return Step.END
        if self._asked_at is None:
            return self._ask(now, signs) if now >= self.due else Step.WAIT
        if signs != self._signs:
            self._asked_at = None
            self.due = now + PAUSE
            return Step.WAIT
        if now > self.due + LATE:
            return self._ask(now, signs)
        if now >= self._asked_at + PATIENCE:
            return Step.LOST
        if now >= self.due and not self._knocked:
            self._knocked = True
            self.due = self._asked_at + PATIENCE
            return Step.KNOCK
        return Step.WAIT

    def _ask(self, now: float, signs: int) -> Step:
        self._asked_at = now
        self._knocked = False
        self._signs = signs
        self.due = now + ANSWER
        return Step.ASK
