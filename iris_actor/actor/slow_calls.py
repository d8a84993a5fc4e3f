"""SlowCalls: tells of calls that run for longer than whoever operates the server expects."""

from __future__ import annotations

import logging
import time

from iris_actor.rpc.incoming_call import IncomingCall

_log = logging.getLogger(__name__)


class SlowCalls:
    """Logs a warning for each call that ran for at least `limit` seconds. Thread-safe.

    A stream lasts as long as its consumer likes, so that none counts as slow.

    Args:
        limit: in seconds; None tells of no call.
    """

    __slots__ = ("limit",)

    def __init__(self, limit: float | None) -> None:
        if limit is not None and (
            isinstance(limit, bool) or not isinstance(limit, int | float) or limit <= 0
        ):
            raise ValueError(f"slow_call must be a positive number of seconds or None, got {limit!r}")
        self.limit = limit

    def ended(self, call: IncomingCall, began: float) -> None:
        """`call`, which began at `began` by the monotonic clock, is over."""
        seconds = time.monotonic() - began
        if self.limit is None or seconds < self.limit or call.wants_stream:
            return
        caller = call.caller
        _log.warning(
            "slow call: %s ran for %.3f s, for process %s on %s",
            call.target,
            seconds,
            caller.pid,
            caller.host,
        )
