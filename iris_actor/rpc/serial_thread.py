"""SerialThread: a thread of the process's own that runs what it is handed, one after the other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from iris_actor.forked_child import leave
from iris_actor.report import report_exception
from iris_actor.threads.after_fork import ForkStage, at_fork
from iris_actor.unpatched import SimpleQueue

_log = logging.getLogger(__name__)

_all: list[SerialThread] = []


def start_serial_threads() -> None:
    """Start all that there are, for a time in which no thread can be started any more."""
    for thread in _all:
        thread.start()


class SerialThread:
    """Runs functions in the order in which they are handed over; starts with the first. Thread-safe.

    For one that lasts as long as the process. A child forked from that begins with an empty one.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._begin()
        _all.append(self)
        at_fork(ForkStage.CONNECTIONS, in_child=self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Callable[[], object]] | None = None
        self._ident = 0

    def run(self, fn: Callable[[], object]) -> None:
        """Have the thread call `fn`; what that raises is logged. A finalizer may call this, too."""
        queue = self._queue
        if queue is None:
            queue = self._start()
        queue.put(fn)

    def start(self) -> None:
        """Start the thread now, though there is nothing to do for it yet. Idempotent."""
        if self._queue is None:
            self._start()

    def is_current(self) -> bool:
        """Whether the caller runs in the thread, and must not wait for what that is to do itself."""
        return threading.get_ident() == self._ident

    def _start(self) -> SimpleQueue[Callable[[], object]]:
        with self._lock:
            queue = self._queue
            if queue is None:
                queue = SimpleQueue()
                threading.Thread(target=self._run, args=(queue,), name=self._name, daemon=True).start()
                self._queue = queue
        return queue

    def _run(self, queue: SimpleQueue[Callable[[], object]]) -> None:
        self._ident = threading.get_ident()
        while True:
            try:
                queue.get()()
            except BaseException as error:  # also SystemExit: others wait for their turn
                if self._queue is not queue:
                    leave(error)
                report_exception(_log, "%s: what it was to do failed", self._name)
            if self._queue is not queue:  # a child, which what it was to do has forked
                leave()
