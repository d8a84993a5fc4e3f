"""Watched: what tells others that it is cancelled."""

from __future__ import annotations

import threading
from typing import Protocol

_lock = threading.Lock()
"""Guards the making of a set, for a moment."""


class Watcher(Protocol):
    """Who is to know that a call is cancelled."""

    def served_call_cancelled(self) -> None:
        """It is. Called in the I/O thread, maybe more than once: must neither block nor raise."""


class Watched:
    """A call, or a task, at the side that runs it. `watch` and `unwatch` are for any thread.

    Subclasses set `_watchers` to None themselves: a call of an ``__init__`` here would cost every call.
    """

    __slots__ = ("_watchers",)

    _watchers: set[Watcher] | None
    """None until somebody watches: most calls make no others."""

    def watch(self, watcher: Watcher) -> None:
        """Have `watcher` told when this is cancelled. One that comes after that is not told."""
        watchers = self._watchers
        if watchers is None:
            with _lock:
                watchers = self._watchers
                if watchers is None:
                    watchers = self._watchers = set()
        watchers.add(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """`watcher` need not be told any more. Idempotent."""
        watchers = self._watchers
        if watchers is not None:
            watchers.discard(watcher)

    def tell_watchers(self) -> None:
        """This is cancelled. In the I/O thread."""
        if self._watchers is not None:
            for watcher in self._watchers.copy():
                watcher.served_call_cancelled()
