"""LaneServer: the abstract socket on which a server takes lanes."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable

from iris_actor.forked_child import let_go_in_child
from iris_actor.rpc.io_thread import IOThread
from iris_actor.rpc.lane import Lane
from iris_actor.rpc.limits import KIB
from iris_actor.unpatched import Socket

_GREETING = 4 * KIB
"""Bytes that a message may have before the other side has shown who it is."""


class LaneServer:
    """Accepts lanes on an abstract socket. In the I/O thread.

    Args:
        io: the I/O thread.
        on_hello: called with each new lane and its first message; it takes the lane over or closes it.
        timeout: seconds that a new lane has for that message.

    Attributes:
        name: what callers connect to.
    """

    def __init__(
        self, io: IOThread, on_hello: Callable[[Lane, bytes | memoryview], None], timeout: float
    ) -> None:
        self.name = f"iris-actor/{uuid.uuid4().hex}"
        self._io = io
        self._on_hello = on_hello
        self._timeout = timeout
        self._new: set[Lane] = set()
        self._sock = Socket(socket.AF_UNIX, socket.SOCK_STREAM)
        let_go_in_child(self._sock)
        self._sock.setblocking(False)
        self._sock.bind("\0" + self.name)
        self._sock.listen(128)
        io.loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except OSError:  # the other side gave up, or there are no descriptors left
            return
        lane = Lane(self._io, sock)
        self._new.add(lane)
        timer = self._io.loop.call_later(self._timeout, lambda: on_end(None))

        def known() -> None:
            timer.cancel()
            self._new.discard(lane)

        def on_first(data: bytes | memoryview) -> None:
            known()
            self._on_hello(lane, data)

        def on_end(_error: Exception | None) -> None:
            known()
            lane.close()

        lane.on_message, lane.on_end = on_first, on_end
        lane.limit = _GREETING
        lane.start()

    def close(self) -> None:
        """Accept no more, and close those that have not said who they are."""
        self._io.loop.remove_reader(self._sock.fileno())
        self._sock.close()
        for lane in list(self._new):
            lane.close()
