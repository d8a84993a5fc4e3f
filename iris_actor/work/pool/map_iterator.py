"""MapIterator: the results of `WorkerPool.map`, in order, while the input is read as results are taken."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Self

from iris_actor.deadline import Deadline
from iris_actor.registry.fork_guard import ForkGuard
from iris_actor.work.pool.map_feed import MapFeed, OpenMaps, Submit


class MapIterator(Iterator[Any]):
    """Yields results in the order of the input. Not thread-safe, as other iterators.

    Args:
        submit: starts the call of a chunk, or of one argument tuple where `chunksize` is 1.
        arguments: argument tuples; read only as far as `ahead` asks.
        chunksize: how many of them travel as one task.
        ahead: says how many tasks may be submitted and not taken; asked again now and then.
        deadline: until when each result must have come.
        pool: kept alive while the consumer decides how far the input is read.
        bar: a tqdm bar that is moved with each result; None for none.
        maps: the open maps of the pool, of which this is one until its first result is asked for; None
            where the input is to be read on no account but the consumer's.

    Closing it cancels what has not started. So does dropping it, once a result was asked for; before that,
    `maps` runs it to its end.
    """

    def __init__(
        self,
        submit: Submit,
        arguments: Iterator[tuple[Any, ...]],
        *,
        chunksize: int,
        ahead: Callable[[], int],
        deadline: Deadline,
        pool: object,
        bar: Any = None,
        maps: OpenMaps | None = None,
    ) -> None:
        self._guard = ForkGuard()
        self._feed = MapFeed(submit, arguments, chunksize=chunksize, ahead=ahead)
        self._chunksize = chunksize
        self._deadline = deadline
        self._bar = bar
        self._maps = maps
        # Until a result is asked for, a pool that is dropped sees to the rest by itself.
        self._find_pool = weakref.ref(pool)
        self._pool = None if maps is not None else pool
        self._ready: deque[Any] = deque()
        self._closed = False
        try:
            self._feed.fill()
        except BaseException:
            self.close()
            raise
        if maps is not None:
            maps.add(self._feed)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        self._is_consumed()
        try:
            while not self._ready and self._feed:
                self._take()
            if not self._ready:
                self._feed.finish()
        except BaseException:
            self.close()
            raise
        if not self._ready:
            self.close()
            raise StopIteration
        if self._bar is not None:
            self._bar.update(1)
        return self._ready.popleft()

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
        if self._feed.ended:
            self._pool = None

    def _is_consumed(self) -> None:
        if self._maps is not None:
            self._pool = None if self._feed.ended else self._find_pool()
            self._maps.discard(self._feed)
            self._maps = None

    def close(self) -> None:
        """Cancel what has not started, and yield no more. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._guard.forked:  # the tasks are the parent's, which may have held the feed's lock
            return
        self._is_consumed()
        self._feed.cancel()
        self._pool = None
        self._close_bar()

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __del__(self) -> None:
        if getattr(self, "_closed", True):
            return
        if self._maps is None or self._guard.forked:
            self.close()
        else:
            self._maps.abandon(self._feed)
            self._close_bar()
