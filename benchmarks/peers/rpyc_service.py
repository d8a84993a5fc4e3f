"""rpyc: a service behind a ThreadedServer, arrays as bytes (which rpyc passes by value), uncompressed."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import rpyc
from rpyc.core.channel import Channel
from rpyc.core.stream import SocketStream
from rpyc.utils.server import ThreadedServer

from benchmarks.processes import ServerProcess, announce

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def configure() -> None:
    # Out of the box every payload is compressed, and written 64 kB at a time with a copy of the rest for each
    # write: 64 MB would take minutes. Both ends get what a user with large payloads has to set.
    Channel.COMPRESSION_THRESHOLD = sys.maxsize
    SocketStream.MAX_IO_CHUNK = 16 << 20


class Bench(rpyc.Service):
    def exposed_echo(self, x: Any) -> Any:
        return x


class Rpyc:
    distributions = ("rpyc",)
    loop = None

    def __init__(self) -> None:
        self._server: ServerProcess | None = None

    def start(self) -> None:
        configure()
        self._server = ServerProcess(__name__)
        stream = SocketStream.connect(*self._server.host_and_port, nodelay=True)
        self._connection = rpyc.connect_stream(stream, config={"sync_request_timeout": None})
        # One netref, looked up once: `root.echo` alone is a round trip.
        self._echo = self._connection.root.echo

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def calls(self) -> Mapping[str, Callable[[int], Any]]:
        echo = self._echo

        # A function and not the netref itself, which goes to the server for every attribute asked of it.
        def call(x: int) -> Any:
            return echo(x)

        return {"": call}

    def floods(self) -> Mapping[str, Callable[[list[int]], Any]]:
        asynchronous = rpyc.async_(self._echo)

        def flood(values: list[int]) -> list[Any]:
            results = [asynchronous(x) for x in values]
            return [result.value for result in results]

        return {"async_": flood}

    def echoes(self) -> Mapping[str, Callable[[Any], Any]]:
        return {"bytes": lambda array: np.frombuffer(self._echo(array.tobytes()), dtype=array.dtype)}


create = Rpyc


def serve() -> None:
    configure()
    server = ThreadedServer(Bench(), hostname="127.0.0.1", port=0)
    # Accepted sockets inherit it; without, the last replies of a burst wait 40 ms for a delayed ACK.
    server.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # It would listen only in start(), after clients have been told where to connect.
    server.listener.listen()
    announce(f"127.0.0.1:{server.port}")
    server.start()


if __name__ == "__main__":
    serve()
