"""Settings of the driver's process that hold in its workers too."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import Any, NamedTuple

from iris_actor.report import report_exception
from iris_actor.work.process import log_sender

_log = logging.getLogger(__name__)


class Settings(NamedTuple):
    """They travel with a batch of tasks, to workers that do not have them yet.

    Attributes:
        levels: of its loggers; see `log_sender.driver_levels`.
        authkey: by which its `multiprocessing` managers know who may use their proxies; None as long as the
            driver has not imported `multiprocessing`. Whoever runs tasks here may use them.
        tracker: file by which its tracker of shared memory is written to; None as long as it has none.
    """

    levels: str
    authkey: bytes | None
    tracker: str | None


def apply(settings: Settings) -> None:
    """Have this process, a worker, take them over. What fails is logged."""
    try:
        log_sender.update(settings.levels)
        if settings.authkey is not None:
            # Not at the top: workers of drivers that do without it are to start without it.
            import multiprocessing.process

            multiprocessing.process.current_process().authkey = settings.authkey
        if settings.tracker is not None:
            _share_tracker(settings.tracker)
    except Exception:
        report_exception(_log, "the driver's settings cannot be taken over")


def _share_tracker(path: str) -> None:
    """Use the driver's tracker of shared memory, as `multiprocessing`'s own children do.

    One of the worker's own would take the driver's segments for leaks at the worker's end, and remove them.
    """
    from multiprocessing import resource_tracker

    tracker: Any = resource_tracker._resource_tracker  # noqa: SLF001
    with suppress(OSError):  # the driver's has ended meanwhile, or there is no /proc
        if tracker._fd is None:  # noqa: SLF001
            tracker._fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # noqa: SLF001
