"""The floor: one TCP socket, a pickle each way, a blocking loop at each end, and nothing else.

No names, no futures, no errors, no flow control. Small frames are parsed and answered as many at a time as
one read brought; the buffers of arrays travel out of band into memory that is used again.
"""

from __future__ import annotations

import pickle
import socket
import struct
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.processes import FreshProcess, ServerProcess, announce

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HEAD = struct.Struct("!IQ")  # the pickle's length, and that of the one buffer that may follow it
READ = 1 << 16
BURST = 64


def frame(value: Any) -> list[Any]:
    if isinstance(value, bytes | memoryview):
        value = pickle.PickleBuffer(value)  # out of band, like an array
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    raw = [buffer.raw() for buffer in buffers]
    if not sum(map(len, raw)):
        body, raw = pickle.dumps(value, protocol=5), []
    return [HEAD.pack(len(body), sum(map(len, raw))) + body, *raw]


class Frames:
    """The frames of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self._rest = b""
        self._recycled = bytearray()

    def send(self, *values: Any) -> None:
        parts = [part for value in values for part in frame(value)]
        if len(parts) == len(values):
            self._socket.sendall(b"".join(parts))
        else:
            for part in parts:
                self._socket.sendall(part)

    def receive(self) -> list[Any]:
        """Everything that one read completes, at least one value."""
        values: list[Any] = []
        while not values:
            data = self._socket.recv(READ)
            if not data:
                raise EOFError
            data, at = self._rest + data, 0
            while len(data) - at >= HEAD.size:
                length, buffered = HEAD.unpack_from(data, at)
                end = at + HEAD.size + length
                if len(data) < end:
                    break
                body = data[at + HEAD.size : end]
                if buffered:
                    values.append(pickle.loads(body, buffers=[self._buffer(buffered, data[end:])]))
                    at = len(data)
                else:
                    values.append(pickle.loads(body))
                    at = end
            self._rest = data[at:]
        return values

    def _buffer(self, size: int, begun: bytes) -> memoryview:
        # An echo has one frame on the wire at a time, so what was read beyond the head is all its buffer's.
        if len(self._recycled) != size:
            self._recycled = bytearray(size)
        view = memoryview(self._recycled)
        view[: len(begun)] = begun
        filled = len(begun)
        while filled < size:
            read = self._socket.recv_into(view[filled:])
            if not read:
                raise EOFError
            filled += read
        return view


class TcpPickle:
    distributions = ()
    loop = None

    def __init__(self) -> None:
        self._server: ServerProcess | None = None

    def start(self) -> None:
        self._server = ServerProcess(__name__)
        self._frames = Frames(socket.create_connection(self._server.host_and_port))

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def _call(self, value: Any) -> Any:
        self._frames.send(value)
        return self._frames.receive()[0]

    def calls(self) -> Mapping[str, Callable[[int], Any]]:
        return {"": self._call}

    def floods(self) -> Mapping[str, Callable[[list[int]], Any]]:
        def flood(values: list[int]) -> list[int]:
            def send() -> None:
                for start in range(0, len(values), BURST):
                    self._frames.send(*values[start : start + BURST])

            sending = threading.Thread(target=send)
            sending.start()
            replies: list[int] = []
            while len(replies) < len(values):
                replies += self._frames.receive()
            sending.join()
            return replies

        return {"": flood}

    def echoes(self) -> Mapping[str, Callable[[Any], Any]]:
        return {"": self._call}

    def byte_echoes(self) -> Mapping[str, Callable[[bytes], Any]]:
        return self.echoes()

    def streams(self) -> Mapping[str, Callable[[range], Any]]:
        def items(wanted: range) -> list[int]:
            self._frames.send(wanted)
            received: list[int] = []
            while len(received) < len(wanted):
                received += self._frames.receive()
            return received

        return {"": items}

    def imports(self) -> Mapping[str, Callable[[int], FreshProcess]]:
        return {"nothing but Python": partial(FreshProcess, "tell(x + 1)")}


create = TcpPickle


def serve() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    announce(f"127.0.0.1:{listener.getsockname()[1]}")
    frames = Frames(listener.accept()[0])
    while True:
        values = frames.receive()
        if isinstance(values[0], range):
            # A stream, asked for when nothing else is under way.
            for start in range(0, len(values[0]), BURST):
                frames.send(*values[0][start : start + BURST])
        else:
            frames.send(*values)


if __name__ == "__main__":
    serve()
