"""Refusals: callers that a server turned away, for its log: each once in a while, however often it tries."""

from __future__ import annotations

import logging
import time

_log = logging.getLogger(__name__)

QUIET = 60.0
"""Seconds for which a caller that was refused for one reason is not logged again."""
_MOST = 1024
"""Callers that are remembered."""


class Refusals:
    """Logs a warning for a caller that is refused, at most one in `QUIET` seconds. In the I/O thread."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], float] = {}

    def log(self, caller: str, reason: str) -> None:
        """Tell that `caller`, an address as gRPC has it, was refused.

        Its port is left out: a caller that tries again has another one.
        """
        host = caller.rpartition(":")[0] or caller
        now = time.monotonic()
        if self._until.get((host, reason), 0.0) > now:
            return
        if len(self._until) >= _MOST:
            self._until.clear()
        self._until[host, reason] = now + QUIET
        _log.warning("refused a caller at %s: %s", host, reason)
