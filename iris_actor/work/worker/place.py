"""Place: the working directory and the module path of a worker, which no task changes for the next one."""

from __future__ import annotations

import functools
import os
import posix
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Place:
    """Where this process is: its working directory, and its ``sys.path``. For the main thread.

    To ask the system after each task costs more than a tiny task itself, since other threads get their turn
    meanwhile. So what changes the directory is made to say so, from the making of the first place on.
    """

    moved = False

    def __init__(self) -> None:
        _watch()
        Place.moved = False
        self._cwd = _cwd()
        self._path = list(sys.path)

    def restore(self) -> None:
        """Come back, if a task went elsewhere."""
        if sys.path != self._path:
            sys.path[:] = self._path
        if Place.moved:
            Place.moved = False
            if _cwd() != self._cwd:
                with suppress(OSError):  # it is gone: the next task may find a better place
                    _change(self._cwd)


_change = os.chdir


def _cwd() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - no Path needed
    except OSError:  # deleted
        return ""


def _noting(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def change(*args: Any, **kwargs: Any) -> None:
        Place.moved = True
        function(*args, **kwargs)

    return change


def _watch() -> None:
    if os.chdir is _change:
        # By both names: what is pickled as `os.chdir` arrives as that of the module where it comes from.
        os.chdir = posix.chdir = _noting(os.chdir)
        os.fchdir = posix.fchdir = _noting(os.fchdir)
