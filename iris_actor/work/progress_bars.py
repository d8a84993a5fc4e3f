"""Progress bars of this process make room for what others have to say.

tqdm is not imported here: who shows a bar has done that. Thread-safe.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any


def bars_shown() -> bool:
    """Whether there is any bar of tqdm's."""
    return bool(_bars())


def bars_aside(stream: object) -> AbstractContextManager[object]:
    """Take away the bars that would be torn by what is written to `stream`; afterwards they are put back.

    It holds tqdm's lock, and only when there is such a bar: one that is shown by way of `logging`, say, is
    drawn with that lock held, and whoever asked for it in a handler would wait for ever.
    """
    if not _would_tear(stream):
        return nullcontext()
    aside: AbstractContextManager[object] = _tqdm().external_write_mode(file=stream)
    return aside


def _tqdm() -> Any:
    # While another thread imports it, the module is there and its names are not.
    return getattr(sys.modules.get("tqdm"), "tqdm", None)


def _bars() -> Any:
    return getattr(_tqdm(), "_instances", ())


def _would_tear(stream: object) -> bool:
    """By tqdm's own rule: a bar on the same stream, or both on a standard one, which may share a terminal."""
    standard = (sys.stdout, sys.stderr)
    try:
        targets = [getattr(bar, "fp", None) for bar in _bars()]
    except RuntimeError:  # another thread is just adding a bar
        return True
    return any(target == stream or (target in standard and stream in standard) for target in targets)
