"""LeasePlan: decides what is done next about one lease and the keys on it.

::

    want, leave, close ──▶ ┌───────────┐ ──▶ next(now): what to ask of etcd, or how long to wait
                           │ LeasePlan │
    granted, put, failed … └───────────┘ ──▶ news for the log
    (what came of it) ──▶

It compares what is wished with what is there, and asks for the difference; so a lost lease needs no case of
its own: nothing is there any more, hence all is put again. It has no thread, lock, clock or connection; one
request is under way at a time.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from itertools import count, islice

from iris_actor.errors import RegistryUnavailableError
from iris_actor.etcd.errors import LeaseGoneError
from iris_actor.etcd.leased.actions import (
    Action,
    Delete,
    End,
    Event,
    Grant,
    KeepAlive,
    Look,
    Mark,
    News,
    PutFree,
    PutOwn,
    Request,
    Revoke,
    Wait,
)
from iris_actor.etcd.leased.key import KeyState, LeasedKey
from iris_actor.retry import Backoff

BATCH = 64
"""Keys that are put in one transaction; etcd takes 128 operations by default."""
REFUSED_PAUSE = 1.0
"""Seconds until something that etcd refused is tried again."""

_UNPUT = {KeyState.WANTED, KeyState.LOST}
_HELD = {KeyState.STANDS, KeyState.DOUBTFUL}
_DONE = {KeyState.LEAVING, KeyState.GONE}


class LeasePlan:
    """Not thread-safe. Times are seconds of any one clock.

    Args:
        ttl: seconds that the lease is asked to live without a sign from us.

    Attributes:
        error: why etcd, when it was last asked, did not do what it was asked for; None when it did.
        lease: number of the lease; 0 while there is none.
    """

    def __init__(self, ttl: float) -> None:
        self.error: Exception | None = None
        self.lease = 0
        self._keys: dict[bytes, LeasedKey] = {}  # what is wished
        # Those of them that are not there: to put together, and one by one. Dicts, for their order.
        self._to_put: dict[LeasedKey, None] = {}
        self._to_put_alone: dict[LeasedKey, None] = {}
        self._to_delete: dict[LeasedKey, None] = {}
        # A heap: what is to be put alone, or deleted (False, True), and from when on.
        self._later: list[tuple[float, int, LeasedKey, bool]] = []
        self._numbers = count()
        self._own: frozenset[int] = frozenset()  # every lease that there was
        self._marked = False
        self._looked = True  # since the lease was last kept alive
        self._beat = ttl / 3
        self._beat_at = 0.0
        self._expires = 0.0
        self._backoff = Backoff(first=0.05, most=min(self._beat, 1.0))
        self._failures = 0
        self._paused_until = -math.inf
        self._closed = False
        self._news: list[News] = []

    # --- wishes -------------------------------------------------------------------------------------

    def want(self, leased: LeasedKey) -> bool:
        """Have `leased` put, and put back; False, if the key is wanted already."""
        if leased.key in self._keys:
            return False
        self._keys[leased.key] = leased
        self._to_put[leased] = None
        self._hurry()
        return True

    def leave(self, leased: LeasedKey) -> None:
        """Have `leased` deleted. Idempotent."""
        if leased.state in _DONE:
            return
        if self._keys.get(leased.key) is leased:
            del self._keys[leased.key]
        self._unlist(leased)
        if leased.lease == 0:
            leased.state = KeyState.GONE
            return
        leased.deletions = 2 if leased.state in _UNPUT else 1
        leased.state = KeyState.LEAVING
        self._to_delete[leased] = None
        self._hurry()

    def close(self) -> None:
        """Nothing is wanted any more, and the lease ends. Idempotent."""
        self._closed = True
        for leased in (*self._keys.values(), *self._to_delete, *(entry[2] for entry in self._later)):
            leased.state = KeyState.GONE
        for table in (self._keys, self._to_put, self._to_put_alone, self._to_delete, self._later):
            table.clear()

    def _hurry(self) -> None:
        self._paused_until = -math.inf

    # --- what to do ---------------------------------------------------------------------------------

    def next(self, now: float) -> Action:
        """What to do now."""
        if self._closed:
            lease, self.lease = self.lease, 0
            return Revoke(lease, 0.2 if self._failures else 0.5) if lease else End()
        if now < self._paused_until:
            return Wait(self._paused_until)
        # However much there is to do, the lease must not end meanwhile.
        if self.lease and now >= self._beat_at:
            return KeepAlive(self.lease)
        if not self._looked:
            return Look(self.lease)
        self._take_due(now)
        return self._delete() or self._put() or Wait(self._next_event())

    def _next_event(self) -> float:
        later = self._later[0][0] if self._later else math.inf
        return min(later, self._beat_at if self.lease else math.inf)

    def _take_due(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            _, _, leased, deleting = heapq.heappop(self._later)
            if deleting and leased.state is KeyState.LEAVING:
                self._to_delete[leased] = None
            elif not deleting and leased.state in _UNPUT:
                self._to_put_alone[leased] = None

    def _delete(self) -> Action | None:
        while self._to_delete:
            leased = next(iter(self._to_delete))
            successor = self._keys.get(leased.key)
            if successor is None:
                return Delete(leased, leased.lease)
            # The key is wanted again: a put replaces what is there, or a deletion of the successor does it.
            successor.lease = successor.lease or leased.lease
            self._gone(leased)
        return None

    def _put(self) -> Action | None:
        if not (self._to_put or self._to_put_alone):
            return None
        if not self.lease:
            return Grant()
        if not self._marked:
            return Mark()
        if self._to_put_alone:
            leased = next(iter(self._to_put_alone))
            leased.lease = self.lease
            return PutOwn(leased, self.lease, self._own)
        batch = tuple(islice(self._to_put, BATCH))
        for leased in batch:
            leased.lease = self.lease
        return PutFree(batch, self.lease)

    # --- what came of it ----------------------------------------------------------------------------

    def granted(self, lease: int, ttl: float, sent: float) -> None:
        """There is a lease for `ttl` seconds from `sent` on, when it was asked for."""
        self._answered()
        self.lease = lease
        self._own |= {lease}
        self._beat = ttl / 3
        self._beat_at, self._expires = sent + self._beat, sent + ttl
        self._marked = False
        self._looked = True

    def marked(self) -> None:
        """The data have an id."""
        self._answered()
        self._marked = True

    def kept_alive(self, ttl: float, sent: float) -> None:
        """The lease lives for `ttl` seconds from `sent` on, when that was asked for."""
        self._answered()
        self._beat_at, self._expires = sent + self._beat, sent + ttl
        self._looked = False

    def looked(self, there: frozenset[bytes]) -> None:
        """The keys `there` are on the lease: whoever does not own a key may still delete it."""
        self._answered()
        self._looked = True
        kept = False
        for key, leased in self._keys.items():
            if leased.state is KeyState.DOUBTFUL and key in there:
                leased.state = KeyState.STANDS
                kept = True
        if kept:
            self._tell(Event.KEPT)
        self._lose(leased for key, leased in self._keys.items() if key not in there)

    def put(self, keys: Iterable[LeasedKey]) -> None:
        """They are there."""
        self._answered()
        keys = [leased for leased in keys if leased.state in _UNPUT]
        back = tuple(leased for leased in keys if leased.state is KeyState.LOST)
        for leased in keys:
            self._unlist(leased)
            leased.state = KeyState.STANDS
            leased.error = None
        if back:
            self._tell(Event.BACK, back)

    def not_free(self, keys: Iterable[LeasedKey]) -> None:
        """Some of them exist, so none was put."""
        self._answered()
        self._separate(keys)

    def deleted(self, leased: LeasedKey, now: float) -> None:
        """It is there no more, if it was ours."""
        self._answered()
        leased.deletions -= 1
        if leased.deletions > 0:
            self._to_delete.pop(leased, None)
            self._put_off(leased, now + self._beat, deleting=True)
        else:
            self._gone(leased)

    def failed(self, request: Request, error: Exception, now: float) -> None:
        """`request` was not done, or nobody knows whether it was: `error` tells."""
        if isinstance(error, LeaseGoneError):
            self._lease_gone(error)
        elif isinstance(error, RegistryUnavailableError):
            self._failures += 1
            self._pause(error, now, self._backoff.delay(self._failures - 1))
        elif isinstance(request, PutFree | PutOwn):
            self._answered()
            keys = request.keys if isinstance(request, PutFree) else (request.key,)
            if len(keys) > 1:
                self._separate(keys)  # one of them is at fault; the others must not pay for it
            else:
                self._put_refused(keys[0], error, now)
        elif isinstance(request, Delete):
            self._tell(Event.NOT_DELETED, (request.key,), error)
            self.deleted(request.key, now)
        else:
            self._failures += 1
            self._pause(error, now, REFUSED_PAUSE)
            for leased in self._keys.values():
                if leased.state is KeyState.WANTED:
                    leased.error = error
            if self._failures == 1 and not self._closed:
                self._tell(Event.REFUSED, error=error)

    def take_news(self) -> list[News]:
        """What has happened since this was last asked."""
        news, self._news = self._news, []
        return news

    # --- inside -------------------------------------------------------------------------------------

    def _answered(self) -> None:
        self._failures = 0
        self.error = None

    def _pause(self, error: Exception, now: float, seconds: float) -> None:
        self.error = error
        self._paused_until = now + seconds
        if not self.lease or now < self._expires:
            return
        # The lease may still be there, so nothing is to be put; but nobody can tell.
        doubtful = [leased for leased in self._keys.values() if leased.state is KeyState.STANDS]
        for leased in doubtful:
            leased.state = KeyState.DOUBTFUL
        if doubtful:
            self._tell(Event.DOUBTFUL, tuple(doubtful))

    def _lease_gone(self, error: LeaseGoneError) -> None:
        self._answered()
        self._tell(Event.LEASE_GONE, error=error)
        self.lease = 0
        self._looked = True
        self._hurry()
        self._lose(self._keys.values())

    def _lose(self, keys: Iterable[LeasedKey]) -> None:
        lost = tuple(leased for leased in keys if leased.state in _HELD)
        for leased in lost:
            leased.state = KeyState.LOST
            self._to_put[leased] = None
        if lost:
            self._tell(Event.LOST, lost)

    def _separate(self, keys: Iterable[LeasedKey]) -> None:
        for leased in keys:
            if leased in self._to_put:
                del self._to_put[leased]
                self._to_put_alone[leased] = None

    def _put_refused(self, leased: LeasedKey, error: Exception, now: float) -> None:
        if leased.state not in _UNPUT:
            return
        if leased.state is KeyState.LOST and leased.error is None:
            self._tell(Event.NOT_PUT_BACK, (leased,), error)
        leased.error = error
        self._unlist(leased)
        self._put_off(leased, now + REFUSED_PAUSE, deleting=False)

    def _unlist(self, leased: LeasedKey) -> None:
        self._to_put.pop(leased, None)
        self._to_put_alone.pop(leased, None)

    def _put_off(self, leased: LeasedKey, until: float, *, deleting: bool) -> None:
        heapq.heappush(self._later, (until, next(self._numbers), leased, deleting))

    def _gone(self, leased: LeasedKey) -> None:
        self._to_delete.pop(leased, None)
        leased.state = KeyState.GONE

    def _tell(self, event: Event, keys: tuple[LeasedKey, ...] = (), error: Exception | None = None) -> None:
        self._news.append(News(event, keys, error))
