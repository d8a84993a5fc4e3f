"""ServerLog: where a server serves, and how it ends, for the log of whoever operates it."""

from __future__ import annotations

import logging
from collections.abc import Iterable

_log = logging.getLogger(__name__)


class ServerLog:
    """Of one server. INFO; DEBUG for a server of the framework's own, such as a pool's worker."""

    def __init__(self) -> None:
        self._level = logging.INFO

    def serves(self, names: Iterable[str], address: str) -> None:
        """It serves actors of these full names at `address`."""
        shown = sorted(names)
        if shown and all(name.split("/")[1].startswith("_") for name in shown):
            self._level = logging.DEBUG
        _log.log(self._level, "serving %s at %s", ", ".join(shown) or "no actor yet", address)

    def drains(self, address: str, left: int) -> None:
        """It takes no more calls; so many are to end."""
        _log.log(self._level, "the server at %s drains: %d calls are to end", address, left)

    def gave_up(self, address: str, left: int, timeout: float | None) -> None:
        """So many calls were left after `timeout` seconds of draining."""
        _log.log(self._level, "the server at %s has calls left after %s s: %d", address, timeout, left)

    def stopped(self, address: str, left: int) -> None:
        """It has stopped, with so many calls that were not done."""
        _log.log(self._level, "the server at %s has stopped; %d calls were not done", address, left)
