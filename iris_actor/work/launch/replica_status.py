"""ReplicaStatus: what a launcher knows of one replica, since when, and why the replica ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import Enum


class ReplicaState(Enum):
    """Where a replica is in its life."""

    PENDING = "pending"
    """Asked for; the engine lets it wait. It comes back to this state where the engine starts it again."""
    RUNNING = "running"
    ENDED = "ended"


class Cause(Enum):
    """Why a replica ended."""

    OWN = "own"
    """By itself: it exited, or a signal hit it that nobody knows more about."""
    OOM = "oom"
    """It took more memory than it may, or than there is."""
    TIME_LIMIT = "time limit"
    """It ran for longer than `LaunchSpec.time_limit`."""
    PREEMPTED = "preempted"
    """The engine gave its place to somebody else."""
    NODE = "node"
    """Its machine was lost. The process may still run there."""
    CANCELLED = "cancelled"
    """Somebody asked the launcher or the engine to end it."""
    PARENT = "parent"
    """The process that it must not outlive has ended."""
    UNKNOWN = "unknown"
    """The engine does not say, or knows it no more."""

    @property
    def is_the_engines(self) -> bool:
        """Whether the engine ended it, for reasons that have nothing to do with what ran there."""
        return self in {Cause.PREEMPTED, Cause.NODE}


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """What is known of one replica.

    Attributes:
        state: where it is in its life.
        host: machine that runs or ran it; empty while unknown.
        pid: its process id there; 0 while unknown.
        exit_code: how it ended; None before, when a signal ended it, and when nothing is known.
        signal: name of the signal that ended it (``"SIGKILL"``), or None.
        cause: why it ended; None before.
        reason: while it is PENDING, why the engine lets it wait (``"Priority"``); once it has ended, what is
            known beyond `cause`, in words.
        attempt: how often the engine has started it again by itself; 0 for the first start.
        known_at: when the engine said so, on the monotonic clock of this process; by default now. Two
            statuses that differ only in this are equal.
    """

    state: ReplicaState
    host: str = ""
    pid: int = 0
    exit_code: int | None = None
    signal: str | None = None
    cause: Cause | None = None
    reason: str = ""
    attempt: int = 0
    known_at: float = field(default_factory=time.monotonic, compare=False)

    def __post_init__(self) -> None:
        if (self.cause is not None) != (self.state is ReplicaState.ENDED):
            raise ValueError(
                f"ReplicaStatus.cause must be given for a replica that has ended, and for no other: got"
                f" {self.cause} for one that is {self.state.value}"
            )

    @property
    def age(self) -> float:
        """Seconds since the engine said so."""
        return time.monotonic() - self.known_at

    @property
    def how(self) -> str:
        """How it ended, in words that follow the name of the replica."""
        if self.state is not ReplicaState.ENDED:
            return f"is {self.state.value}"
        reason = self.reason
        if self.signal is not None:
            text = f"was ended by {self.signal}"
        elif self.exit_code is not None:
            text = f"exited with code {self.exit_code}"
        else:
            text = "was lost"
        if not reason and self.cause in _SAID:
            reason = _SAID[self.cause]
        return f"{text} ({reason})" if reason else text


_SAID: dict[Cause | None, str] = {
    Cause.OOM: "out of memory",
    Cause.TIME_LIMIT: "its time limit was over",
    Cause.PREEMPTED: "it was preempted",
    Cause.NODE: "its machine was lost",
    Cause.PARENT: "its parent has ended",
}
"""What is said of a cause where the launcher says nothing more."""
