"""Lane: a Unix socket between two processes of one host, in place of a gRPC stream.

It carries the same packets, each behind its length (4 bytes, little-endian), for a fifth of the price. The
server names an abstract socket in its welcome; a caller that reaches it is on the same host, which proves
more than a name or an address would, and shows the session's id, which nobody else knows. The gRPC stream
stays open beside it, idle: gRPC notices when the peer is alive no more or stopped, and then both end.
"""

from __future__ import annotations

import socket
import struct
import sys
from array import array
from collections import deque
from collections.abc import Callable

from iris_actor.errors import ProtocolError
from iris_actor.forked_child import let_go_in_child
from iris_actor.rpc.io_thread import IOThread
from iris_actor.rpc.limits import KIB, MAX_MESSAGE
from iris_actor.rpc.switch import is_on
from iris_actor.unpatched import Socket, close

_LENGTH = struct.Struct("<I")
_BUFFER = 1024 * KIB
"""Bytes that the kernel is asked to hold for each direction; it grants what `net.core.wmem_max` allows."""
_SMALL = 64 * KIB
"""Bytes below which a message is put behind its length by a copy."""
_MOST_FDS = 8
"""File descriptors that may arrive before somebody takes them."""
_ANCILLARY = socket.CMSG_SPACE(_MOST_FDS * array("i").itemsize)
SWITCH = "IRIS_LANE"
"""Environment variable; "off" keeps everything on gRPC."""


def lanes_are_on() -> bool:
    """Whether this process offers and takes lanes: on Linux, which has sockets that leave no file behind."""
    return sys.platform == "linux" and is_on(SWITCH)


def connect_lane(name: str) -> socket.socket | None:
    """A connection to the lane `name`; None when there is no such thing on this host, or it is not wanted."""
    if not name or not lanes_are_on():
        return None
    sock = Socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.connect("\0" + name)
    except OSError:  # another host, another network namespace, or one that is too busy to take us
        sock.close()
        return None
    return sock


class Lane:
    """One connected socket: a `Stream`.

    `send` and `go_on` are for whoever holds the link's lock; everything else happens in the I/O thread.

    Args:
        io: the I/O thread.
        sock: connected.

    `on_end` must see to `close`, once no thread sends any more.

    Attributes:
        limit: bytes that a message may have.
    """

    direct = True

    def __init__(self, io: IOThread, sock: socket.socket) -> None:
        let_go_in_child(sock)
        sock.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        self._io = io
        self._sock = sock
        self._fd = sock.fileno()
        self.on_message: Callable[[bytes | memoryview], None] = _ignore
        self.on_room: Callable[[], None] = _ignore
        self.on_end: Callable[[Exception | None], None] = _ignore
        self.limit = MAX_MESSAGE
        self._unsent: memoryview | None = None
        self._unsent_fd = -1
        self._fds: deque[int] = deque()
        self._room = io.scratch  # until a message comes in parts
        self._filled = 0  # what arrived of the next message, length included
        self.closed = False

    def start(self) -> None:
        """Begin to read."""
        self._io.loop.add_reader(self._fd, self._readable)

    def close(self) -> None:
        """Close the socket. Idempotent."""
        if not self.closed:
            self.closed = True
            self._io.loop.remove_reader(self._fd)
            self._io.loop.remove_writer(self._fd)
            self._sock.close()
            while self._fds:
                close(self._fds.popleft())

    # --- sending --------------------------------------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """Whether the kernel holds as much as it will: nothing may be sent before `go_on`."""
        return self._unsent is not None

    def send(self, message: bytes, fd: int = -1) -> None:
        """Send a message, as much as the kernel takes at once. Not while `blocked`. Never raises.

        Args:
            message: what the other side's `on_message` gets.
            fd: a file descriptor that goes with it, for `take_fd` there. It stays open here, and must do so
                until the other side has answered.
        """
        length = _LENGTH.pack(len(message))
        if len(message) < _SMALL:
            self._push(memoryview(length + message), fd)
            return
        try:
            sent = self._sock.sendmsg((length, message))
        except OSError:
            sent = 0  # the way below finds out what it is
        self._push(memoryview(message)[sent - 4 :] if sent >= 4 else memoryview(length + message)[sent:])

    def go_on(self) -> bool:
        """Send what was left over; whether there is room for more."""
        unsent, self._unsent = self._unsent, None
        if unsent is not None:
            fd, self._unsent_fd = self._unsent_fd, -1
            self._push(unsent, fd)
        return self._unsent is None

    def _push(self, data: memoryview, fd: int = -1) -> None:
        if not data:
            return
        try:
            if fd < 0:
                sent = self._sock.send(data)
            else:
                sent = self._sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]))])
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:  # the reader finds out
            return
        if sent < len(data):
            self._unsent = data[sent:]
            self._unsent_fd = fd if sent == 0 else -1
            self._io.call_soon(self._await_room)

    def _await_room(self) -> None:
        if not self.closed:
            self._io.loop.add_writer(self._fd, self._writable)

    def _writable(self) -> None:
        self._io.loop.remove_writer(self._fd)
        self.on_room()

    # --- receiving ------------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            if not self._read():
                self._end(None)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._end(None)
        except Exception as error:
            self._end(error)

    def _end(self, error: Exception | None) -> None:
        if not self.closed:
            # Not closed here: a thread that is about to send would write to whatever gets the number next.
            self._io.loop.remove_reader(self._fd)
            self.on_end(error)

    def _read(self) -> bool:
        # Into the same memory again and again: whoever takes a message copies what it wants of it.
        room = self._room
        count, ancillary, _, _ = self._sock.recvmsg_into([room[self._filled :]], _ANCILLARY)
        if ancillary:
            self._receive_fds(ancillary)
        end = self._filled + count
        at = 0
        while True:
            needed = _LENGTH.size
            if end - at >= needed:
                (size,) = _LENGTH.unpack_from(room, at)
                if size > self.limit:
                    raise ProtocolError(f"a message of {size} bytes is over the limit of {self.limit}")
                needed += size
            if end - at < needed:
                break
            start, at = at + _LENGTH.size, at + needed
            self.on_message(room[start:at])
            if self.closed:
                return True
        self._filled = end - at
        if self._filled:
            self._keep(at, needed)
        return count > 0

    def _keep(self, at: int, needed: int) -> None:
        """Keep the part of a message, of `needed` bytes in all, that stands in the room from `at` on."""
        room = self._room
        if room is self._io.scratch or needed > len(room):
            self._room = memoryview(bytearray(needed + len(self._io.scratch)))
        elif not at:
            return
        self._room[: self._filled] = room[at : at + self._filled]

    def _receive_fds(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array("i")
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
                self._fds.extend(fds)
        if len(self._fds) > _MOST_FDS:
            raise ProtocolError(f"{len(self._fds)} file descriptors came that nobody had announced")

    def take_fd(self) -> int | None:
        """The file descriptor that came with a message, for its `on_message`; None when there was no room."""
        return self._fds.popleft() if self._fds else None


def _ignore(*_: object) -> None:
    pass
