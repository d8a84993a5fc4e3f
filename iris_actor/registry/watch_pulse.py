"""WatchPulse: the requests of one watch stream, and the measure of its silence.

A stream over a dead connection looks like one on which nothing happens. So etcd is asked for a sign every
few seconds (a progress request, which it answers at once), and a stream that stays silent is ended.

::

    gRPC's thread for requests ── create, progress, progress … ──▶ etcd
            │ silence: end()                                         │
            ▼                                                        ▼
        the call is cancelled ──▶ the thread that reads   ◀── heard() on every response
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from iris_actor.registry.etcd_stubs import etcdrpc

INTERVAL = 1.5
"""Seconds between requests for a sign of life."""
SILENCE = 2.5
"""Seconds without any response after which a stream is taken for dead."""


class WatchPulse:
    """Give `requests()` to the Watch stub, then `attach` the call that it returned."""

    def __init__(self, create: Any) -> None:
        self._create = create
        self._ended = threading.Event()
        self._heard = time.monotonic()
        self._cancel: Callable[[], Any] | None = None

    def attach(self, cancel: Callable[[], Any]) -> None:
        """Say how the call is cancelled."""
        self._cancel = cancel

    def heard(self) -> None:
        """Note a response."""
        self._heard = time.monotonic()

    @property
    def silent(self) -> bool:
        """Whether the stream has been silent for too long."""
        return time.monotonic() - self._heard > SILENCE

    def end(self) -> None:
        """End the requests, and cancel the call. Idempotent."""
        self._ended.set()
        if self._cancel is not None:
            self._cancel()

    def requests(self) -> Iterator[Any]:
        """The requests; gRPC iterates over them in a thread of its own, until the call ends."""
        yield etcdrpc.WatchRequest(create_request=self._create)
        while not self._ended.wait(INTERVAL):
            if self.silent:
                self.end()
                return
            yield etcdrpc.WatchRequest(progress_request=etcdrpc.WatchProgressRequest())
