"""ReservedPort: a port of 127.0.0.1 that is ours before, between and after the runs of a server."""

from __future__ import annotations

import socket

from iris_actor.forked_child import let_go_in_child
from iris_actor.unpatched import Socket


class ReservedPort:
    """Bound but not listening: the kernel gives connections to sockets that listen only.

    There is no moment in which another program can take the port, as there is after looking for a free one
    and letting it go. A server of the same user that sets SO_REUSEPORT binds it all the same.

    Args:
        port: the port; 0 has the kernel choose one.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, port: int = 0) -> None:
        self._socket = Socket()
        let_go_in_child(self._socket)
        try:
            # Bound alone, so that a port that somebody has is refused, yet not for the TIME_WAIT of old
            # connections; shared only afterwards.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(("127.0.0.1", port))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        except BaseException:
            self._socket.close()
            raise
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Let the port go. Idempotent."""
        self._socket.close()
