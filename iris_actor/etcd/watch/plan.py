"""WatchPlan: decides how a watch goes on: where it takes up, and when it must list.

::

    UNLISTED    listed ─▶ LISTED
    LISTED      confirmed ─▶ FOLLOWING    broke ─▶ BROKEN    other data ─▶ UNLISTED
    FOLLOWING   broke ─▶ BROKEN           compacted ─▶ UNLISTED
    BROKEN      confirmed ─▶ FOLLOWING    other data ─▶ UNLISTED

It has no thread, lock, clock or connection. While etcd is away nothing is forgotten: what was seen leaves
only because etcd said so, by a change, or by a listing that lacks it.

Whether etcd's data are still the same is asked after each break: revisions of an etcd that began anew, or of
another etcd behind the same address, mean nothing to us although they look alike. The id of the data
(`data_id`) tells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from iris_actor.errors import RegistryUnavailableError
from iris_actor.retry import Backoff


class WatchState(Enum):
    """How far a watch is."""

    UNLISTED = "unlisted"
    """What is there must be listed."""
    LISTED = "listed"
    """It was listed just now, and is followed from there."""
    FOLLOWING = "following"
    BROKEN = "broken"
    """It is known up to some revision, and is followed from there if the data are still the same."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a watch has come in which history.

    Attributes:
        revision: of the last change that was seen.
        data_id: id of the data; None when they have none: then a break always needs a listing.
        cluster: id of the cluster.
    """

    revision: int
    data_id: bytes | None
    cluster: int


@dataclass(frozen=True, slots=True)
class List:
    """List what is there."""


@dataclass(frozen=True, slots=True)
class Follow:
    """Follow the changes from this revision on."""

    revision: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing until then."""

    until: float


class WatchPlan:
    """Not thread-safe. Times are seconds of any one clock.

    Attributes:
        refusal: why etcd does not let us watch; None when it does, or does not answer.
    """

    def __init__(self) -> None:
        self.refusal: Exception | None = None
        self._state = WatchState.UNLISTED
        self._position: Position | None = None
        self._backoff = Backoff(first=0.05, most=2.0)
        self._failures = 0
        self._resume_at = 0.0

    @property
    def state(self) -> WatchState:
        """How far the watch is."""
        return self._state

    @property
    def stale(self) -> bool:
        """Whether what was seen may be behind."""
        return self._state in {WatchState.UNLISTED, WatchState.BROKEN}

    def next(self, now: float) -> List | Follow | Wait:
        """What to do now."""
        if self._failures and now < self._resume_at:
            return Wait(self._resume_at)
        return List() if self._position is None else Follow(self._position.revision + 1)

    def listed(self, position: Position) -> None:
        """All that was there at `position` has been listed."""
        self._position = position
        self._state = WatchState.LISTED

    def confirmed(self, there: Position, now: float) -> bool:
        """A stream of changes has begun on an etcd that is at `there`; False, if it is of no use.

        Then all is listed again; after a pause, if it was only just listed.
        """
        before = self._position
        fresh = self._state is WatchState.LISTED
        if before is None or not _same(before, there, fresh=fresh):
            if fresh:
                self._failed(now)
            self._forget()
            return False
        # Fresh data may have got their id after the listing.
        self._position = replace(before, data_id=there.data_id)
        self._state = WatchState.FOLLOWING
        self._failures = 0
        self.refusal = None
        return True

    def changed(self, revision: int) -> None:
        """Changes up to `revision` were seen."""
        if self._position is not None:
            self._position = replace(self._position, revision=revision)

    def compacted(self) -> None:
        """The changes that follow are no longer to be had."""
        self._forget()

    def broke(self, error: Exception, now: float) -> bool:
        """Listing or following ended with `error`; whether etcd now refuses, and did not before."""
        self._failed(now)
        if self._state is not WatchState.UNLISTED:
            self._state = WatchState.BROKEN
        if isinstance(error, RegistryUnavailableError):
            return False
        first = self.refusal is None
        self.refusal = error
        return first

    def failed(self, now: float) -> None:
        """What was seen could not be passed on, or another fault of ours: all is listed again."""
        self._failed(now)
        self._forget()

    def _failed(self, now: float) -> None:
        self._failures += 1
        self._resume_at = now + self._backoff.delay(self._failures - 1)

    def _forget(self) -> None:
        self._position = None
        self._state = WatchState.UNLISTED


def _same(before: Position, there: Position, *, fresh: bool) -> bool:
    """Whether an etcd that is at `there` goes on from `before`, be that from a `fresh` listing."""
    if there.cluster != before.cluster or there.revision < before.revision:
        return False
    if fresh:
        return before.data_id in {None, there.data_id}
    return before.data_id is not None and before.data_id == there.data_id
