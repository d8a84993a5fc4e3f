"""A TCP proxy that can be made to misbehave: the network between a caller and its server."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from iris_actor.address import Address

_PIECE = 64 * 1024


class _Connection:
    def __init__(self, inner: asyncio.StreamWriter, outer: asyncio.StreamWriter) -> None:
        self.inner = inner  # towards the caller
        self.outer = outer  # towards the server
        self.orphaned = False  # the caller was cut off, and the server is not to know


class Proxy:
    """Forwards connections to `target` (``host:port``) from a port of its own on `host`.

    Attributes:
        accepted: connections that were accepted so far.
        forwarded: bytes that were forwarded so far, both ways.
    """

    def __init__(self, target: str, host: str = "127.0.0.1") -> None:
        self._host = host
        self._target = target.rpartition(":")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="test-proxy")
        self._thread.start()
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._hang_up = False
        self._triggers: list[tuple[int, Callable[[], None]]] = []
        self._server: asyncio.Server | None = None
        self._port = 0
        self.accepted = 0
        self.forwarded = 0
        self._do(self._listen())

    @property
    def address(self) -> str:
        """Where callers connect to."""
        return str(Address(self._host, self._port))

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    # --- faults -------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Reset every connection on both sides; new ones are welcome."""
        self._do(self._cut(both=True))

    def cut_callers(self) -> None:
        """Reset every connection towards the callers, while servers are left to believe in theirs."""
        self._do(self._cut(both=False))

    def cut_after(self, size: int) -> None:
        """Cut once, when `size` more bytes have passed."""
        self._triggers.append((self.forwarded + size, self._cut_now))

    def stall(self) -> None:
        """Forward nothing, keep the connections."""
        self._do(self._set_flow(flowing=False))

    def resume(self) -> None:
        """Go on after `stall`."""
        self._do(self._set_flow(flowing=True))

    def refuse(self) -> None:
        """Cut everything and listen no more: connecting is refused."""
        self._do(self._refuse())

    def hang_up(self, *, hanging: bool = True) -> None:
        """Cut everything; while `hanging`, new connections are accepted and closed at once."""
        self._hang_up = hanging
        self._do(self._cut(both=True))

    def accept(self) -> None:
        """Listen again, on the same port."""
        self._do(self._listen())

    def close(self) -> None:
        """End everything."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    # --- in the proxy's thread ----------------------------------------------------------------------

    def _do(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            listener = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._port))
            self._port = listener.getsockname()[1]
            self._server = await asyncio.start_server(self._serve, sock=listener)

    async def _set_flow(self, *, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _refuse(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self._cut(both=True)

    async def _cut(self, *, both: bool) -> None:
        for connection in list(self._connections):
            connection.orphaned = not both
            connection.inner.transport.abort()
            if both:
                connection.outer.transport.abort()
                self._connections.discard(connection)

    def _cut_now(self) -> None:
        task = self._loop.create_task(self._cut(both=True))
        self._tasks.add(task)

    async def _close(self) -> None:
        await self._refuse()
        for _ in range(3):  # what was just accepted begins, and is ended below: else nobody closes its socket
            await asyncio.sleep(0)
        me = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not me]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._hang_up:
            writer.transport.abort()
            return
        host, _, port = self._target
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except (OSError, asyncio.CancelledError):  # asyncio would log the latter as an error of this handler
            writer.transport.abort()
            return
        connection = _Connection(writer, far_writer)
        self._connections.add(connection)
        there = asyncio.create_task(self._pump(connection, reader, far_writer))
        back = asyncio.create_task(self._pump(connection, far_reader, writer))
        self._tasks |= {there, back}
        try:
            # A caller that was cut off leaves the server's side open; it ends with the proxy.
            await asyncio.wait({there, back})
        except asyncio.CancelledError:
            pass  # asyncio would log it as an error of this handler
        finally:
            for pump in (there, back):
                pump.cancel()
            writer.transport.abort()
            far_writer.transport.abort()
            self._connections.discard(connection)

    async def _pump(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await reader.read(_PIECE):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
                self.forwarded += len(data)
                while self._triggers and self.forwarded >= self._triggers[0][0]:
                    self._triggers.pop(0)[1]()
            if not connection.orphaned:
                writer.close()
        except (OSError, RuntimeError):
            pass
