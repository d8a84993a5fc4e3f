"""What the driver's process has set that is to hold in its workers too, also when it is set later.

::

    _send ── current_settings() ── the same object as last time? ──▶ nothing to send
                                      └─ another one ──▶ travels with the batch ──▶ `worker_settings.apply`

It is asked for each batch of tasks, so that it costs next to nothing while nothing changes.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from iris_actor.work.process.log_sender import driver_levels
from iris_actor.work.worker.worker_settings import Settings

_MARK: Any = object()
"""Stands in the root logger's cache of answers, which `logging` clears whenever any level changes."""
_no_cache: dict[Any, Any] = {}

_current: Settings | None = None


def current_settings() -> Settings:
    """The settings as they are now; the same object as long as none has changed. Thread-safe."""
    global _current  # noqa: PLW0603 - they are those of the process
    # CPython's logging has had this cache since 3.7. Where it has none, levels are those of the first look.
    cache: dict[Any, Any] = getattr(logging.root, "_cache", _no_cache)
    known, authkey, tracker = _current, _authkey(), _tracker()
    if known is not None and _MARK in cache and known.authkey == authkey and known.tracker == tracker:
        return known
    cache[_MARK] = True  # before the look: a change in between clears it again
    settings = Settings(driver_levels(), authkey, tracker)
    if settings != known:
        _current = settings
    return _current or settings


def _authkey() -> bytes | None:
    """By what processes of `multiprocessing` know each other; None while nobody here has imported that."""
    process = sys.modules.get("multiprocessing.process")
    if process is None:
        return None
    # bytes: the driver's own class of keys refuses to be pickled, since that is usually a mistake.
    return bytes(process.current_process().authkey)


def _tracker() -> str | None:
    """Where the tracker of shared memory that `multiprocessing` runs for this process is written to."""
    module: Any = sys.modules.get("multiprocessing.resource_tracker")
    tracker = getattr(module, "_resource_tracker", None)
    fd = getattr(tracker, "_fd", None)
    return None if fd is None else f"/proc/{os.getpid()}/fd/{fd}"
