"""Progress bars of this process make room for what others have to say.

tqdm is not imported here: who shows a bar has done that. Thread-safe.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakSet

from iris_actor.threads.after_fork import ForkStage, at_fork

_holder: int | None = None
"""The thread that has tqdm's lock on our account."""
_seen: WeakSet[Any] = WeakSet()
"""The bars that were there when it was last taken; guarded by it."""


def bars_possible() -> bool:
    """Whether somebody may show a bar."""
    return _tqdm() is not None


@contextmanager
def bars_aside(stream: object) -> Iterator[None]:
    """Take away the bars that would be torn by what is written to `stream`; afterwards they are put back.

    Whoever is inside has tqdm's lock, though there may be no bar yet: another thread may be about to draw the
    first. So nothing may be waited for there that somebody may have who draws, such as a handler's lock.
    """
    global _holder  # noqa: PLW0603 - written with tqdm's lock held
    tqdm = _tqdm()
    if tqdm is None:
        yield
        return
    with tqdm.external_write_mode(file=stream):
        _holder = threading.get_ident()
        try:
            _clear_closing(tqdm, stream)
            yield
        finally:
            _holder = None


def shares_lock(initializer: Any) -> bool:
    """Whether it is the initializer by which `tqdm.contrib.concurrent` has workers use the driver's lock.

    Workers cannot have that lock, and need none: their output is lines, and it is the driver that draws.
    """
    owner = getattr(initializer, "__self__", None)
    tqdm = _tqdm()
    named = getattr(initializer, "__name__", None) == "set_lock"
    return named and tqdm is not None and isinstance(owner, type) and issubclass(owner, tqdm)


def _tqdm() -> Any:
    # While another thread imports it, the module is there and its names are not.
    return getattr(sys.modules.get("tqdm"), "tqdm", None)


def _clear_closing(tqdm: Any, stream: object) -> None:
    """Clear bars that are being closed.

    tqdm first marks them as disabled, then takes them from its list, and at last draws their last state.
    Until then they still stand there, and it does not clear them. Where it is done already, nothing is left
    to be cleared.
    """
    standard = (sys.stdout, sys.stderr)
    bars = set(tqdm._instances)  # noqa: SLF001
    for bar in (set(_seen) - bars) | {bar for bar in bars if getattr(bar, "disable", False)}:
        with suppress(Exception):  # its stream may be closed
            if not bar.gui and (bar.fp == stream or (bar.fp in standard and stream in standard)):
                bar.moveto(abs(bar.pos))
                bar.sp("")
                bar.fp.write("\r")
                bar.moveto(-abs(bar.pos))
    _seen.clear()
    _seen.update(bars)


def _renew_lock_in_child() -> None:
    """The thread that had the lock at the fork is not in the child, and would never give it back."""
    if _holder not in {None, threading.get_ident()}:
        _tqdm().set_lock(threading.RLock())


at_fork(ForkStage.HELD, in_child=_renew_lock_in_child)
