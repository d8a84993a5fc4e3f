"""Bare gRPC, one bidirectional stream (grpc.aio): raw bytes, a message a call, large payloads in chunks."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import numpy as np

from benchmarks.crowd import Crowd
from benchmarks.peers.base import CLIENTS
from benchmarks.processes import ServerProcess, announce

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

SERVICE = "benchmarks.Echo"
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
INT = struct.Struct("!q")
CHUNK = 1 << 20
PAIR = struct.Struct("!qq")


class GrpcStream:
    distributions = ("grpcio",)

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._server: ServerProcess | None = None
        self._clients: Crowd | None = None

    def start(self) -> None:
        self._server = ServerProcess(__name__)
        self._clients = Crowd(connect_flood, self._server.address, CLIENTS)
        self.loop.run_until_complete(self._connect(self._server.address))

    async def _connect(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, OPTIONS)
        self._stream = self._channel.stream_stream(f"/{SERVICE}/Each")()
        self._whole = self._channel.stream_stream(f"/{SERVICE}/Whole")()
        self._numbers = self._channel.unary_stream(f"/{SERVICE}/Numbers")
        await self._channel.channel_ready()

    def stop(self) -> None:
        if self._clients is not None:
            self._clients.stop()
        if self._server is not None:
            self._server.stop()

    def calls(self) -> Mapping[str, Callable[[int], Any]]:
        stream, pack, unpack = self._stream, INT.pack, INT.unpack

        async def write_and_read(x: int) -> int:
            await stream.write(pack(x))
            return unpack(await stream.read())[0]

        return {"aio": write_and_read}

    def floods(self) -> Mapping[str, Callable[[list[int]], Any]]:
        async def one_message_a_call(values: list[int]) -> list[int]:
            return await flood(self._stream, values)

        return {"1 call a message": one_message_a_call}

    def crowds(self) -> Mapping[str, Callable[[list[int]], Any]]:
        assert self._clients is not None
        return {f"{CLIENTS} clients": self._clients.flood}

    def streams(self) -> Mapping[str, Callable[[range], Any]]:
        unpack = INT.unpack

        async def server_streaming(items: range) -> list[int]:
            return [unpack(item)[0] async for item in self._numbers(PAIR.pack(items.start, items.stop))]

        return {"server streaming": server_streaming}

    async def _echo(self, sent: Any, into: Any) -> None:
        """Send what is in one flat array of bytes, and fill the other with what comes back."""
        stream = self._whole

        async def write() -> None:
            await stream.write(INT.pack(len(sent)))
            for start in range(0, len(sent), CHUNK):
                await stream.write(sent[start : start + CHUNK].tobytes())

        writing = asyncio.create_task(write())
        end = INT.unpack(await stream.read())[0] - len(sent)
        while end < len(into):
            chunk = await stream.read()
            into[end : end + len(chunk)] = chunk
            end += len(chunk)
        await writing

    def echoes(self) -> Mapping[str, Callable[[Any], Any]]:
        async def chunks(array: Any) -> Any:
            received = np.empty_like(array)
            await self._echo(memoryview(array.view(np.uint8)), memoryview(received.view(np.uint8)))
            return received

        return {"1 MB chunks": chunks}

    def byte_echoes(self) -> Mapping[str, Callable[[bytes], Any]]:
        async def chunks(data: bytes) -> bytearray:
            received = bytearray(len(data))
            await self._echo(memoryview(data), memoryview(received))
            return received

        return {"1 MB chunks": chunks}


async def flood(stream: Any, values: list[int]) -> list[int]:
    """A message each, all of them under way at a time."""
    pack, unpack = INT.pack, INT.unpack

    async def write() -> None:
        for x in values:
            await stream.write(pack(x))

    writing = asyncio.create_task(write())
    replies = [unpack(await stream.read())[0] for _ in values]
    await writing
    return replies


def connect_flood(address: str) -> Callable[[list[int]], list[int]]:
    """A client of the crowd."""
    loop = asyncio.new_event_loop()

    async def connect() -> Any:
        channel = grpc.aio.insecure_channel(address, OPTIONS)
        await channel.channel_ready()
        return channel.stream_stream(f"/{SERVICE}/Each")()

    stream = loop.run_until_complete(connect())
    return lambda values: loop.run_until_complete(flood(stream, values))


create = GrpcStream


async def each(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
    async for request in requests:
        await context.write(request)


async def whole(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
    """Echo what comes only when all of it is there, as a method that takes an array would."""
    async for head in requests:
        (missing,) = INT.unpack(head)
        chunks = []
        while missing:
            chunks.append(await anext(requests))
            missing -= len(chunks[-1])
        await context.write(head)
        for chunk in chunks:
            await context.write(chunk)


async def numbers(request: bytes, context: grpc.aio.ServicerContext) -> None:
    first, end = PAIR.unpack(request)
    for x in range(first, end):
        await context.write(INT.pack(x))


async def serve() -> None:
    server = grpc.aio.server(options=OPTIONS)
    handlers = {
        "Each": grpc.stream_stream_rpc_method_handler(each),
        "Whole": grpc.stream_stream_rpc_method_handler(whole),
        "Numbers": grpc.unary_stream_rpc_method_handler(numbers),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    announce(f"127.0.0.1:{port}")
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
