"""LoopQueue: the way into an event loop from other threads, that wakes it once per burst."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from weakref import WeakKeyDictionary


class LoopQueue:
    """Runs functions in `loop`, in the order they were handed over. Thread-safe.

    They run in a context of the queue's own, so that nothing that starts there takes over context variables
    of whoever happened to wake the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._context = Context()
        self._ready: deque[Callable[[], None]] = deque()
        self._scheduled = False

    def call_soon(self, fn: Callable[[], None]) -> None:
        """Run `fn` in the loop. `fn` must not block. With the loop closed it is dropped."""
        self._ready.append(fn)
        # Read after the append, cleared before the drain: whoever sees True is still drained.
        if not self._scheduled:
            self._scheduled = True
            try:
                self._loop.call_soon_threadsafe(self._drain, context=self._context)
            except RuntimeError:  # closed, with whoever waited there
                self._ready.clear()
            except BaseException:  # Ctrl-C just here: the next one has to wake it
                self._scheduled = False
                raise

    def abandon(self) -> None:
        """Drop what is handed over from now on. In a forked child, which does not have the loop's thread."""
        self._ready = deque(maxlen=0)
        self._scheduled = True  # the loop's own wake-up call would reach the parent

    def _drain(self) -> None:
        self._scheduled = False
        ready = self._ready
        try:
            for _ in range(len(ready)):
                ready.popleft()()
        except BaseException:  # one that failed must not keep the others waiting for the next
            if ready and not self._scheduled:
                self._scheduled = True
                self._loop.call_soon(self._drain, context=self._context)
            raise
        # What came meanwhile takes the next turn of the loop, so that its other work is not starved;
        # whoever appended it has seen the flag down and scheduled that turn.


_queues: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopQueue] = WeakKeyDictionary()
_lock = threading.Lock()


def queue_into(loop: asyncio.AbstractEventLoop) -> LoopQueue:
    """The queue into `loop`."""
    queue = _queues.get(loop)
    if queue is None:
        with _lock:
            queue = _queues.setdefault(loop, LoopQueue(loop))
    return queue
