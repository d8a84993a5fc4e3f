"""Exit hook: at the end of the interpreter pools finish their tasks and end their workers.

As the stdlib's executors do, a pool that was not shut down finishes what was submitted before the interpreter
exits; unless Ctrl-C ended the program, then its workers end at once. (Should the process end in another way,
no hook runs, and the launcher's guardian sees to the workers.)
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - its own hook must be registered first: the last one runs first
import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from iris_actor.work.keeper import Keeper

_keepers: WeakSet[Keeper] = WeakSet()
_registered_in = 0


def at_exit(keeper: Keeper) -> None:
    """Have `keeper` ended before the interpreter exits."""
    global _registered_in  # noqa: PLW0603 - one hook a process
    _keepers.add(keeper)
    if _registered_in != os.getpid():
        _registered_in = os.getpid()
        # Runs before non-daemon threads are joined and before atexit hooks, which stop the I/O thread.
        register: Any = getattr(threading, "_register_atexit", atexit.register)
        register(_end_all)


def _end_all() -> None:
    if os.getpid() != _registered_in:  # a forked child: the workers are its parent's
        return
    interrupted = getattr(sys, "last_type", None)
    kill = isinstance(interrupted, type) and not issubclass(interrupted, Exception)
    keepers = [keeper for keeper in _keepers if not keeper.over]
    for keeper in keepers:
        keeper.end(kill=kill)
    for keeper in keepers:
        try:
            keeper.wait_over()
        except BaseException:  # Ctrl-C again
            with suppress(BaseException):
                keeper.end(kill=True)
                keeper.wait_over(5)


def _forget_in_child() -> None:
    # The threads of a pool are not in the child, so nobody would ever answer to what it asks.
    for keeper in list(_keepers):
        keeper.forked_from = os.getppid()
    _keepers.clear()


os.register_at_fork(after_in_child=_forget_in_child)
