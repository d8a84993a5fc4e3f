"""Place: the working directory and the module path of a worker, which no task changes for the next one."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


class Place:
    """Where this process is now: its working directory, and its ``sys.path``."""

    __slots__ = ("_cwd", "_path")

    def __init__(self) -> None:
        self._cwd = _cwd()
        self._path = list(sys.path)

    def restore(self) -> None:
        """Come back, if a task went elsewhere."""
        if sys.path != self._path:
            sys.path[:] = self._path
        if _cwd() != self._cwd:
            with suppress(OSError):  # it is gone: the next task may find a better place
                os.chdir(self._cwd)


def _cwd() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - a Path costs ten times as much, and this is asked after each task
    except OSError:  # deleted
        return ""
