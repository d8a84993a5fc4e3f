"""Exceptions that nobody but the log can be told of."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress


def report_exception(log: logging.Logger, message: str, *args: object) -> None:
    """Log the exception that is being handled. Never raises, whatever the handlers of the user's log do.

    For threads that others depend on: what is left to do there must not be lost with a report.

    Args:
        log: the logger.
        message, args: as `logging.Logger.error` takes them.
    """
    with suppress(BaseException):
        log.error(message, *args, exc_info=sys.exc_info())
