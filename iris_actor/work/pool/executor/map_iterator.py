"""MapIterator: the results of `WorkerPool.map`, in order, while the input is read as results are taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Self

from iris_actor.deadline import Deadline
from iris_actor.threads.fork_guard import ForkGuard
from iris_actor.work.pool.executor.map_feed import MapFeed
from iris_actor.work.pool.executor.open_maps import OpenMaps


class MapIterator(Iterator[Any]):
    """Yields results in the order of the input. Not thread-safe, as other iterators.

    Args:
        feed: submits its calls.
        chunksize: how many of its argument tuples travel as one task.
        deadline: until when each result must have come.
        maps: the open maps of the pool.
        pool: gives the pool; None when it is gone.
        bar: a tqdm bar that is moved with each result; None for none.

    Closing it cancels what has not started. So does dropping it, once a result was asked for; before that,
    `maps` runs it to its end if it counts as submitted as a whole.
    """

    def __init__(
        self,
        feed: MapFeed,
        *,
        chunksize: int,
        deadline: Deadline,
        maps: OpenMaps,
        pool: Callable[[], object],
        bar: Any = None,
    ) -> None:
        self._feed = feed
        self._chunksize = chunksize
        self._deadline = deadline
        self._bar = bar
        self._maps = maps
        self._pool = pool
        self._ready: deque[Any] = deque()
        self._closed = False
        self._guard = ForkGuard()
        try:
            self._feed.fill()
        except BaseException:
            self.close()
            raise
        if not feed.ended:
            maps.add(feed)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        self._feed.whole = False
        try:
            self._take_next()
        except BaseException:
            self.close()
            raise
        if not self._ready:
            self.close()
            raise StopIteration
        if self._bar is not None:
            self._bar.update(1)
        return self._ready.popleft()

    def _take_next(self) -> None:
        while not self._ready and self._feed:
            self._take()
        if not self._ready:
            self._feed.finish()

    def _take(self) -> None:
        try:
            # The future leaves the queue first: neither it nor its result is kept.
            result = self._feed.take(self._deadline)
        except StopIteration as error:
            # It would end the iteration as if there were no more input; a generator has the same rule.
            raise RuntimeError("the function of a map raised StopIteration") from error
        if self._chunksize == 1:
            self._ready.append(result)
        else:
            self._ready.extend(result)
        del result
        self._feed.fill()

    def close(self) -> None:
        """Cancel what has not started, and yield no more. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._guard.forked:  # the tasks are the parent's, which may have held the feed's lock
            return
        self._feed.cancel()
        self._close_bar()

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __del__(self) -> None:
        if getattr(self, "_closed", True):
            return
        if self._feed.whole and not self._guard.forked:
            self._maps.abandon(self._feed, self._pool())
            self._close_bar()
        else:
            self.close()
