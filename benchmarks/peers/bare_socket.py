"""The floor for peers on one host, and what each hand-over between threads adds to it.

A small pickled message goes over a Unix socket to another process and back, as bare as can be, in
arrangements that differ in the threads it passes through, and in what a caller does while it waits.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import sys
import threading
import time
from contextlib import ExitStack, closing
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from benchmarks.processes import ServerProcess, announce, wait_for_end

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

READ = 4096
US = 1e-6


class _Alone:
    """A caller that sends and reads by itself."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def __call__(self, value: int) -> int:
        self._socket.sendall(pickle.dumps(value))
        reply: int = pickle.loads(self._socket.recv(READ))
        return reply

    def close(self) -> None:
        self._socket.close()


class _Looped:
    """A caller beside an event loop in a thread of its own, which reads the replies.

    Args:
        connection: to the server.
        sends: whether the caller sends by itself, instead of having the loop do it.
        spin: seconds for which it looks for the reply again and again before it sleeps.
        gives: whether it lets go of the GIL each time it has looked.
    """

    def __init__(
        self, connection: socket.socket, *, sends: bool, spin: float = 0.0, gives: bool = False
    ) -> None:
        self._socket = connection
        self._sends, self._spin, self._gives = sends, spin, gives
        self._reply: bytes | None = None
        self._arrived = threading.Lock()
        self._arrived.acquire()
        self._loop = asyncio.new_event_loop()
        self._loop.add_reader(connection.fileno(), self._read)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        self._reply = self._socket.recv(READ)
        self._arrived.release()

    def __call__(self, value: int) -> int:
        message = pickle.dumps(value)
        if self._sends:
            self._socket.sendall(message)
        else:
            self._loop.call_soon_threadsafe(self._socket.sendall, message)
        if self._spin:
            until = time.perf_counter() + self._spin
            while self._reply is None and time.perf_counter() < until:
                if self._gives:
                    time.sleep(0)
        self._arrived.acquire()
        assert self._reply is not None
        reply: int = pickle.loads(self._reply)
        self._reply = None
        return reply

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._socket.close()


Caller = _Alone | _Looped

#: What is different from the barest arrangement, the caller, and the server.
ARRANGEMENTS: dict[str, tuple[Callable[[socket.socket], Caller], str]] = {
    "no hand-over": (_Alone, "alone"),
    "server's loop reads and answers": (_Alone, "loop"),
    "server's loop reads, a worker answers": (_Alone, "worker"),
    "caller sends, its loop reads": (partial(_Looped, sends=True), "alone"),
    "caller sends, loops read, a worker answers": (partial(_Looped, sends=True), "worker"),
    "same, and the caller spins 50 µs with the GIL": (
        partial(_Looped, sends=True, spin=50 * US),
        "worker",
    ),
    "same, and the caller spins 200 µs without it": (
        partial(_Looped, sends=True, spin=200 * US, gives=True),
        "worker",
    ),
    "caller's loop sends, loops read, a worker answers": (partial(_Looped, sends=False), "worker"),
    "loops send and read": (partial(_Looped, sends=False), "worker and loop"),
}


class BareSocket:
    distributions = ()
    loop = None

    def __init__(self) -> None:
        self._started = ExitStack()
        self._callers: dict[str, Caller] = {}

    def start(self) -> None:
        """Nothing yet: idle servers have no business in the other figures."""

    def stop(self) -> None:
        self._started.close()

    def _caller(self, name: str) -> Caller:
        if name not in self._callers:
            make, served = ARRANGEMENTS[name]
            server = ServerProcess(__name__, served)
            self._started.callback(server.stop)
            connection = socket.socket(socket.AF_UNIX)
            connection.connect("\0" + server.address)
            self._callers[name] = self._started.enter_context(closing(make(connection)))
        return self._callers[name]

    def handovers(self) -> Mapping[str, Callable[[int], int]]:
        return {name: self._caller(name) for name in ARRANGEMENTS}


create = BareSocket


# --- the other process ------------------------------------------------------------------------------------


def _answer(message: bytes) -> bytes:
    return pickle.dumps(pickle.loads(message))


def _serve_alone(connection: socket.socket) -> None:
    while message := connection.recv(READ):
        connection.sendall(_answer(message))


def _serve_in_loop(connection: socket.socket, served: str) -> None:
    loop = asyncio.new_event_loop()
    work: SimpleQueue[bytes] = SimpleQueue()

    def read() -> None:
        message = connection.recv(READ)
        if not message:
            loop.stop()
        elif served == "loop":
            connection.sendall(_answer(message))
        else:
            work.put(message)

    def run() -> None:
        while True:
            reply = _answer(work.get())
            if served == "worker":
                connection.sendall(reply)
            else:
                loop.call_soon_threadsafe(connection.sendall, reply)

    threading.Thread(target=run, daemon=True).start()
    loop.add_reader(connection.fileno(), read)
    loop.run_forever()


def serve(served: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    name = f"iris-bench-{os.getpid()}"
    listener.bind("\0" + name)
    listener.listen()

    def run() -> None:
        connection = listener.accept()[0]
        if served == "alone":
            _serve_alone(connection)
        else:
            _serve_in_loop(connection, served)

    threading.Thread(target=run, daemon=True).start()
    announce(name)
    wait_for_end()


if __name__ == "__main__":
    serve(sys.argv[1])
