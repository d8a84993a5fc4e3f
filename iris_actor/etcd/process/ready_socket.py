"""ReadySocket: hears when a server is ready, by the protocol that systemd's services speak."""

from __future__ import annotations

import socket
import sys
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from iris_actor.deadline import Deadline
from iris_actor.unpatched import Socket, select


class ReadySocket:
    """Give `address` to the server as ``NOTIFY_SOCKET``; it sends ``READY=1`` when it serves.

    Args:
        folder: where the socket goes on systems without abstract addresses.
    """

    def __init__(self, folder: Path) -> None:
        name = f"iris-{uuid.uuid4().hex}"
        linux = sys.platform == "linux"
        # Abstract on Linux: the path of a temporary folder may be too long for a socket's address.
        self.address = f"@{name}" if linux else str(folder / name)
        self._socket = Socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.bind(f"\0{name}" if linux else self.address)
        except BaseException:
            self._socket.close()
            raise

    def wait(self, ended: int, deadline: Deadline) -> bool:
        """Whether the server got ready before `deadline`, and before `ended` became readable."""
        while not deadline.passed:
            heard = self._socket.fileno()
            readable, _, _ = select([heard, ended], [], [], deadline.timeout)
            if heard in readable:
                if b"READY=1" in self._socket.recv(4096):
                    return True
            elif readable:
                return False
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._socket.close()
