"""Ctrl-C at the worst moment: the main thread waits already, and nothing wakes it."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable

import pytest


def assert_interruptible(wait: Callable[[], object]) -> None:
    """Assert that `wait`, which blocks for at least 20 s, ends soon after an interrupt.

    `interrupt_main` notes the signal and does not interrupt a system call: so does a real signal that comes
    between Python's last look for one and the wait, which cannot be hit at will.
    """
    timer = threading.Timer(0.2, _thread.interrupt_main)
    start = time.monotonic()
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            wait()
    finally:
        timer.cancel()
        timer.join()
    assert time.monotonic() - start < 10
