"""Waits that a signal ends for sure.

CPython runs the handler of a signal in the main thread, between two instructions. A signal that comes after
the last look for one and before the wait blocks (microseconds; milliseconds on a busy machine) does not
interrupt that wait: Ctrl-C would do nothing until it is over. So the main thread waits in slices.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

SIGNAL_LATENCY = 0.2
"""Seconds within which a signal is noticed in the worst case."""


def wait(block: Callable[[float], bool], timeout: float | None) -> bool:
    """Whether `block`, which waits for so many seconds, has returned true within `timeout` (None: ever).

    `block` is called again when it has returned false, so it must not miss what happens between two calls.
    """
    is_main = threading.current_thread() is threading.main_thread()
    most = SIGNAL_LATENCY if is_main else threading.TIMEOUT_MAX
    if timeout is None:
        while not block(most):
            pass
        return True
    end = time.monotonic() + timeout
    left = timeout
    while not block(min(left, most)):
        left = end - time.monotonic()
        if left <= 0:
            return False
    return True
