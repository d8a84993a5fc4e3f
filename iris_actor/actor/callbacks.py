"""The thread that runs done callbacks, so that none of them can hold up the I/O thread."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

_queue: SimpleQueue[Callable[[], object]] | None = None
_lock = threading.Lock()
_ident = 0
_log = logging.getLogger(__name__)


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


def is_callback_thread() -> bool:
    """Whether this is the callback thread, which must not wait for what it is to do itself."""
    return threading.get_ident() == _ident


def _run(queue: SimpleQueue[Callable[[], object]]) -> None:
    global _ident  # noqa: PLW0603 - one a process
    _ident = threading.get_ident()
    while True:
        try:
            queue.get()()
        except BaseException:  # also SystemExit: there is only this thread, and others wait for their turn
            _log.exception("a callback failed")


def _after_fork_in_child() -> None:
    global _queue, _lock, _ident  # noqa: PLW0603
    _queue, _ident = None, 0
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
