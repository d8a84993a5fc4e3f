"""Threads: runs the plain methods of one actor."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from iris_actor.unpatched import SimpleQueue

_log = logging.getLogger(__name__)


class Threads:
    """Up to `most` daemon threads, started when work finds none idle. Thread-safe.

    Unlike a ThreadPoolExecutor it makes no future for each piece of work, and does not hold up the
    interpreter's exit for a method that hangs.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._work: SimpleQueue[tuple[Callable[[Any], None], Any] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def submit(self, function: Callable[[Any], None], argument: Any) -> None:
        """Run `function(argument)` in a thread. What it raises is logged.

        Raises:
            RuntimeError: there is no thread, and none can be started.
        """
        if not self._idle.acquire(blocking=False):
            self._grow()
        self._work.put((function, argument))

    def _grow(self) -> None:
        with self._lock:
            if len(self._threads) >= self._most or self._closed:
                return
            name = f"iris-actor-{self._name}-{len(self._threads)}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the process may have no more of them
                if not self._threads:
                    raise
            else:
                self._threads.append(thread)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            function, argument = work
            try:
                function(argument)
            except BaseException:  # a thread that ended would be missing for ever
                _log.exception("a thread of actor %s goes on after what was to end it", self._name)
            del work, function, argument  # an idle thread keeps nothing alive
            self._idle.release()

    def allow(self, more: int) -> None:
        """Start up to `more` threads more than before."""
        with self._lock:
            self._most += more

    def close(self) -> None:
        """End the threads once they have done what is queued. Idempotent, does not wait."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for _ in self._threads:
            self._work.put(None)

    def join(self, timeout: float) -> None:
        """Wait for closed threads to end, each for up to `timeout` seconds."""
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout)
