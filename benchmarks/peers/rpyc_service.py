"""rpyc: a service behind a ThreadedServer, arrays as bytes (which rpyc passes by value), uncompressed."""

from __future__ import annotations

import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import rpyc
from rpyc.core.channel import Channel
from rpyc.core.stream import SocketStream
from rpyc.utils.helpers import buffiter
from rpyc.utils.server import ThreadedServer

from benchmarks.crowd import Crowd
from benchmarks.peers.base import CLIENTS
from benchmarks.processes import FreshProcess, ServerProcess, announce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def configure() -> None:
    # Out of the box every payload is compressed, and written 64 kB at a time with a copy of the rest for each
    # write: 64 MB would take minutes. Both ends get what a user with large payloads has to set.
    Channel.COMPRESSION_THRESHOLD = sys.maxsize
    SocketStream.MAX_IO_CHUNK = 16 << 20


class Bench(rpyc.Service):
    def exposed_echo(self, x: Any) -> Any:
        return x

    def exposed_numbers(self, first: int, end: int) -> Iterator[int]:
        yield from range(first, end)


class Rpyc:
    distributions = ("rpyc",)
    loop = None

    def __init__(self) -> None:
        self._server: ServerProcess | None = None
        self._clients: Crowd | None = None

    def start(self) -> None:
        self._server = ServerProcess(__name__)
        self._clients = Crowd(connect_flood, self._server.address, CLIENTS)
        self._connection = connect(self._server.address)
        # One netref, looked up once: `root.echo` alone is a round trip.
        self._echo = self._connection.root.echo

    def stop(self) -> None:
        if self._clients is not None:
            self._clients.stop()
        if self._server is not None:
            self._server.stop()

    def calls(self) -> Mapping[str, Callable[[Any], Any]]:
        echo = self._echo

        # A function and not the netref itself, which goes to the server for every attribute asked of it.
        def call(x: Any) -> Any:
            return echo(x)

        return {"": call}

    def floods(self) -> Mapping[str, Callable[[list[int]], Any]]:
        return {"async_": partial(flood, rpyc.async_(self._echo))}

    def crowds(self) -> Mapping[str, Callable[[list[int]], Any]]:
        assert self._clients is not None
        return {f"{CLIENTS} clients": self._clients.flood}

    def streams(self) -> Mapping[str, Callable[[range], Any]]:
        numbers = self._connection.root.numbers

        def items(wanted: range) -> list[int]:
            return list(numbers(wanted.start, wanted.stop))

        def buffered(wanted: range) -> list[int]:
            return list(buffiter(numbers(wanted.start, wanted.stop), chunk=100, factor=1))

        return {"a call an item": items, "buffiter, 100 a call": buffered}

    def echoes(self) -> Mapping[str, Callable[[Any], Any]]:
        return {"bytes": lambda array: np.frombuffer(self._echo(array.tobytes()), dtype=array.dtype)}

    def byte_echoes(self) -> Mapping[str, Callable[[bytes], Any]]:
        return self.calls()

    def imports(self) -> Mapping[str, Callable[[int], FreshProcess]]:
        return {"import rpyc": partial(FreshProcess, "import rpyc\ntell(x + 1)")}


def connect(address: str) -> rpyc.Connection:
    configure()
    host, _, port = address.rpartition(":")
    stream = SocketStream.connect(host, int(port), nodelay=True)
    return rpyc.connect_stream(stream, config={"sync_request_timeout": None})


def flood(asynchronous: Callable[[int], Any], values: list[int]) -> list[Any]:
    results = [asynchronous(x) for x in values]
    return [result.value for result in results]


def connect_flood(address: str) -> Callable[[list[int]], list[int]]:
    """A client of the crowd."""
    return partial(flood, rpyc.async_(connect(address).root.echo))


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
