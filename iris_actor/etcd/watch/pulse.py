"""WatchPulse: the requests of one watch stream, and the measure of its silence.

A stream over a dead connection looks like one on which nothing happens. So etcd is asked for a sign every
few seconds (a progress request, which it answers at once), and a stream that stays silent is ended.

::

    gRPC's thread for requests ── create, progress, progress … ──▶ etcd
            │ silence: end()                                         │
            ▼                                                        ▼
        the call is cancelled ──▶ the thread that reads   ◀── heard() on every response

gRPC runs two threads for a stream: that one, and another which takes what arrives on all streams of the
connection. Both are to be waited for. When the interpreter ends, it stops a daemon thread wherever it stands,
perhaps while it holds the lock of the call, and then waits for that lock when it deletes the call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty
from typing import Any

from iris_actor.deadline import Deadline
from iris_actor.etcd.stubs import etcdrpc
from iris_actor.unpatched import SimpleQueue

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
        self._call: Any = None
        self._asking: threading.Thread | None = None
        self._taking: SimpleQueue[threading.Thread] = SimpleQueue()

    def attach(self, call: Any) -> None:
        """Say which call it is."""
        self._call = call
        # Called by the thread that takes what arrives.
        call.add_done_callback(lambda _: self._taking.put(threading.current_thread()))

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
        if self._call is not None:
            self._call.cancel()

    def join(self, timeout: float) -> threading.Thread | None:
        """Wait until the call is done, and the thread of the requests has ended, after `end`.

        Args:
            timeout: seconds to wait at most.

        Returns:
            The thread that takes what arrives on the connection: it ends with the last stream there.
        """
        if self._call is None:
            return None
        deadline = Deadline.after(timeout)
        if self._asking is not None:
            self._asking.join(deadline.remaining)
        with suppress(Empty):
            thread = self._taking.get(timeout=deadline.remaining)
            # A call that had ended before it was attached told so in the thread that attached it.
            return None if thread is threading.current_thread() else thread
        return None

    def requests(self) -> Iterator[Any]:
        """The requests; gRPC iterates over them in a thread of its own, until the call ends."""
        self._asking = threading.current_thread()
        yield etcdrpc.WatchRequest(create_request=self._create)
        while not self._ended.wait(INTERVAL):
            if self.silent:
                self.end()
                return
            yield etcdrpc.WatchRequest(progress_request=etcdrpc.WatchProgressRequest())
