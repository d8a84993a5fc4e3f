"""Reachability: whether a registry answers, and if it does not, since when and why.

::

    connection of the lease ────┐                     ┌──▶ the log: one warning, one "is back"
    connection of each watch ───┼─▶ Reachability ─────┤
    connection of the listings ─┘                     └──▶ errors: since when, and the last reason
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace

from iris_actor.errors import RegistryUnavailableError

_log = logging.getLogger(__name__)

BLIP = 1.5
"""Seconds of silence that are not logged.

An attempt may meet a connection that is just breaking. And after an outage one connection answers again while
another, for up to a second, only repeats its last failure (gRPC's pause before it reconnects, which
`EtcdConnection` bounds).
"""


@dataclass(frozen=True, slots=True)
class _Absence:
    since: float
    """Seconds since the epoch, for people."""
    began: float
    """The same moment by the monotonic clock, to measure from."""
    reason: str
    told: bool
    """Whether the log speaks of it."""


class Reachability:
    """What the connections of one registry have seen of it. Thread-safe.

    Args:
        url: of the registry, without its password.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()  # guards what follows; never held while logging
        self._absence: _Absence | None = None
        self._closed = False

    @property
    def since(self) -> float | None:
        """Since when the registry cannot be reached, in seconds since the epoch; None while it can."""
        absence = self._absence
        return None if absence is None else absence.since

    @property
    def trouble(self) -> RegistryUnavailableError | None:
        """Why the registry cannot be reached, as the last attempt found; None while it can."""
        absence = self._absence
        return None if absence is None else RegistryUnavailableError(self._url, absence.reason, absence.since)

    def answered(self) -> None:
        """Note that the registry did what it was asked to do."""
        if self._absence is None:
            return
        with self._lock:
            absence, self._absence = self._absence, None
        if absence is not None and absence.told and not self._closed:
            _log.info("registry %s is back after %.1f s", self._url, time.monotonic() - absence.began)

    def absent(self, reason: str) -> None:
        """Note that none of its endpoints did.

        Args:
            reason: what was tried, and what was said.
        """
        now = time.monotonic()
        with self._lock:
            known = self._absence or _Absence(time.time(), now, reason, told=False)
            tell = not known.told and now - known.began >= BLIP
            self._absence = replace(known, reason=reason, told=known.told or tell)
        if tell and not self._closed:
            _log.warning("registry %s cannot be reached, and is tried again and again: %s", self._url, reason)

    def close(self) -> None:
        """Log nothing any more: at the end of a program the registry may be gone before its users."""
        self._closed = True
