"""The thread that runs done callbacks, so that none of them can hold up the I/O thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

_queue: SimpleQueue[Callable[[], object]] | None = None
_lock = threading.Lock()


def run_callback(fn: Callable[[], object]) -> None:
    """Run `fn` in the callback thread, after those handed over before."""
    global _queue  # noqa: PLW0603 - one a process
    queue = _queue
    if queue is None:
        with _lock:
            queue = _queue
            if queue is None:
                queue = _queue = SimpleQueue()
                threading.Thread(target=_run, args=(queue,), name="iris-callbacks", daemon=True).start()
    queue.put(fn)


def _run(queue: SimpleQueue[Callable[[], object]]) -> None:
    while True:
        queue.get()()


def _after_fork_in_child() -> None:
    global _queue, _lock  # noqa: PLW0603
    _queue = None
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
