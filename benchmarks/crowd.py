"""A crowd of clients: processes that call one server at the same time, each over a connection of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    Flood = Callable[[list[int]], list[int]]

START_TIMEOUT = 30.0
REPLY_TIMEOUT = 40.0


class Crowd:
    """`size` client processes, started when they are first needed.

    `connect(address)` is called once in each and gives what takes a list of ints, calls the server with
    each of them, all in flight at a time, and returns the replies in order.
    """

    def __init__(self, connect: Callable[[str], Flood], address: str, size: int) -> None:
        self._connect = connect
        self._address = address
        self._size = size
        self._members: list[tuple[Any, Connection[Any, Any]]] = []

    def _start(self) -> None:
        # Forked from a process that has imported everything and started nothing: 50 of them take a second.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["__main__", self._connect.__module__])
        try:
            for _ in range(self._size):
                ours, theirs = context.Pipe()
                with theirs:
                    arguments = (theirs, self._connect, self._address)
                    process = context.Process(target=_client, args=arguments, daemon=True)
                    process.start()
                self._members.append((process, ours))
            for _, pipe in self._members:
                _receive(pipe, START_TIMEOUT)
        except BaseException:
            self.stop()
            raise

    def flood(self, values: list[int]) -> list[int]:
        """An equal part of the values for each client; the replies in order."""
        if not self._members:
            self._start()
        each = -(-len(values) // len(self._members))
        parts = [values[start : start + each] for start in range(0, len(values), each)]
        busy = self._members[: len(parts)]
        for (_, pipe), part in zip(busy, parts, strict=True):
            pipe.send(part)
        return [reply for _, pipe in busy for reply in _receive(pipe, REPLY_TIMEOUT)]

    def stop(self) -> None:
        """End the clients; twice does no harm."""
        for _, pipe in self._members:
            pipe.close()  # which is what they end at
        for process, _ in self._members:
            process.join(1.0)
            if process.is_alive():
                process.kill()
                process.join()
        self._members.clear()


def _receive(pipe: Connection[Any, Any], timeout: float) -> list[int]:
    if not pipe.poll(timeout):
        raise RuntimeError(f"a client of the crowd gave no answer within {timeout:.0f} s")
    try:
        answer = pipe.recv()
    except EOFError as error:
        raise RuntimeError("a client of the crowd ended") from error
    if isinstance(answer, Exception):
        raise answer
    replies: list[int] = answer
    return replies


def _client(pipe: Connection[Any, Any], connect: Callable[[str], Flood], address: str) -> None:
    with contextlib.suppress(EOFError, BrokenPipeError):
        try:
            flood = connect(address)
            pipe.send(flood([0]))
            while True:
                pipe.send(flood(pipe.recv()))
        except EOFError:
            raise
        except Exception as error:
            pipe.send(RuntimeError(f"a client of the crowd: {type(error).__name__}: {error}"))
