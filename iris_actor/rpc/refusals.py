"""Refusals: callers that a server turned away, for its log: few lines, however often they try."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import unquote

from iris_actor.address import Address

QUIET = 60.0
"""Seconds in which one reason is told of one host once."""
MOST = 10
"""Refusals that are told in that time, of all hosts: a caller may choose its address, and the reason."""


class Refusals:
    """Tells of callers that are refused, at most of `MOST` in `QUIET` seconds. In the I/O thread.

    Args:
        tell: is given the host of a caller, and the reason with how many refusals before were not told.
    """

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self._began = 0.0
        self._told: set[tuple[str, str]] = set()
        self._untold = 0

    def note(self, caller: str, reason: str) -> None:
        """Note that `caller`, an address as gRPC has it (``ipv6:%5B::1%5D:1234``), was refused.

        Its port is left out: a caller that tries again has another one.
        """
        now = time.monotonic()
        if now - self._began >= QUIET:
            self._began = now
            self._told.clear()
        host = _host(caller)
        if (host, reason) in self._told or len(self._told) >= MOST:
            self._untold += 1
            return
        self._told.add((host, reason))
        untold, self._untold = self._untold, 0
        self._tell(host, reason + (f" ({untold} refusals before are not told)" if untold else ""))


def _host(caller: str) -> str:
    try:
        return Address.parse(unquote(caller).partition(":")[2]).host
    except ValueError:
        return caller
