"""GrpcStream: a bidirectional gRPC call as a `Stream`.

gRPC writes one message after the other, and says when it has taken one: so there is room for one at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc.aio


class GrpcStream:
    """See `Stream`. In the I/O thread only.

    Args:
        call: gRPC's own: of a caller, or the context of a server's method.
    """

    direct = False

    def __init__(self, call: Any) -> None:
        self.on_message: Callable[[bytes | memoryview], None] = _ignore
        self.on_room: Callable[[], None] = _ignore
        self.on_end: Callable[[Exception | None], None] = _ignore
        self._call = call
        self._unsent: bytes | None = None
        self._idle: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    @property
    def blocked(self) -> bool:
        """Whether gRPC still has the last message."""
        return self._unsent is not None

    def start(self) -> None:
        """Begin to read and to write."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._read_all()), loop.create_task(self._write_all())]

    def send(self, message: bytes, fd: int = -1) -> None:  # noqa: ARG002 - it carries no descriptors
        """Hand `message` to gRPC."""
        self._unsent = message
        idle, self._idle = self._idle, None
        if idle is not None and not idle.done():
            idle.set_result(None)

    def go_on(self) -> bool:
        """Whether there is room."""
        return self._unsent is None

    def take_fd(self) -> int | None:
        """None: it carries no descriptors."""
        return None

    def close(self) -> None:
        """End the call. Idempotent."""
        self._closed = True
        for task in self._tasks:
            task.cancel()

    async def _write_all(self) -> None:
        write = self._call.write
        while True:
            message = self._unsent
            if message is None:
                self._idle = asyncio.get_running_loop().create_future()
                await self._idle
                continue
            try:
                await write(message)
            except Exception:  # whoever reads finds out what it is
                return
            self._unsent = None
            self.on_room()

    async def _read_all(self) -> None:
        read = self._call.read
        error: Exception | None = None
        try:
            while (data := await read()) is not grpc.aio.EOF:
                self.on_message(data)
                if self._closed:
                    return
        except Exception as raised:
            error = raised
        if not self._closed:
            self.on_end(error)


def _ignore(*_: object) -> None:
    pass
