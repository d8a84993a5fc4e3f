"""OpenMaps: the maps of a pool whose input is not read to its end yet, and what becomes of them when it ends.

As with the standard library's executors, a map of which nobody has asked for a result counts as submitted as
a whole: it is run to its end when its iterator is dropped, when the pool is shut down, and when the
interpreter exits. Once a result was asked for, the consumer decides how far its input is read; unless the
pool is dropped and the input known to end: then it is read to its end, so that the pool can.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from iris_actor.work.pool.executor.map_feed import MapFeed


class OpenMaps:
    """The open maps of one pool. Thread-safe."""

    def __init__(self) -> None:
        self._feeds: set[MapFeed] = set()

    def add(self, feed: MapFeed) -> None:
        """A new map."""
        self._feeds.add(feed)

    def discard(self, feed: MapFeed) -> None:
        """A map whose input was read to its end."""
        self._feeds.discard(feed)

    def abandon(self, feed: MapFeed, pool: object) -> None:
        """Nobody will take its results: run it all the same, a little ahead at a time. For a finalizer.

        Args:
            feed: a map that counts as submitted as a whole.
            pool: of the map, which is to live as long as that takes. None when it is gone: it has seen to the
                rest then.
        """
        if not feed.ended and pool is not None:
            feed.hold(pool)
            _in_thread(feed.run_dry)

    def read_on(self) -> None:
        """Submit all that is left of those that count as submitted as a whole."""
        for feed in list(self._feeds):
            if feed.whole:
                feed.read_on()

    def end_with(self, end: Callable[[], None]) -> None:
        """The pool is dropped: submit all that is left, and then call `end`. For a finalizer."""
        feeds = list(self._feeds)
        for feed in feeds:
            feed.whole = True
        if not (feeds and _in_thread(lambda: self._end_with(end))):
            end()

    def _end_with(self, end: Callable[[], None]) -> None:
        try:
            self.read_on()
        finally:
            end()


def _in_thread(function: Callable[[], None]) -> bool:
    """Call `function` in a thread of its own: a finalizer may come in the middle of anything."""
    with suppress(RuntimeError):  # the interpreter ends, and has seen to the rest
        threading.Thread(target=function, name="iris-map", daemon=True).start()
        return True
    return False
