"""Bare gRPC, one bidirectional stream (grpc.aio): raw bytes, a message a call, large payloads in chunks."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import numpy as np

from benchmarks.processes import ServerProcess, announce

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

SERVICE = "benchmarks.Echo"
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
INT = struct.Struct("!q")
CHUNK = 1 << 20


class GrpcStream:
    distributions = ("grpcio",)

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._server: ServerProcess | None = None

    def start(self) -> None:
        self._server = ServerProcess(__name__)
        self.loop.run_until_complete(self._connect(self._server.address))

    async def _connect(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, OPTIONS)
        self._stream = self._channel.stream_stream(f"/{SERVICE}/Each")()
        self._whole = self._channel.stream_stream(f"/{SERVICE}/Whole")()
        await self._channel.channel_ready()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def calls(self) -> Mapping[str, Callable[[int], Any]]:
        stream, pack, unpack = self._stream, INT.pack, INT.unpack

        async def write_and_read(x: int) -> int:
            await stream.write(pack(x))
            return unpack(await stream.read())[0]

        return {"aio": write_and_read}

    def floods(self) -> Mapping[str, Callable[[list[int]], Any]]:
        stream, pack, unpack = self._stream, INT.pack, INT.unpack

        async def one_message_a_call(values: list[int]) -> list[int]:
            async def write() -> None:
                for x in values:
                    await stream.write(pack(x))

            writing = asyncio.create_task(write())
            replies = [unpack(await stream.read())[0] for _ in values]
            await writing
            return replies

        return {"1 call a message": one_message_a_call}

    def echoes(self) -> Mapping[str, Callable[[Any], Any]]:
        stream = self._whole

        async def chunks(array: Any) -> Any:
            sent = memoryview(array).cast("B")

            async def write() -> None:
                await stream.write(INT.pack(len(sent)))
                for start in range(0, len(sent), CHUNK):
                    await stream.write(bytes(sent[start : start + CHUNK]))

            writing = asyncio.create_task(write())
            received = np.empty_like(array)
            into, end = memoryview(received).cast("B"), 0
            while end < len(into):
                chunk = await stream.read()
                into[end : end + len(chunk)] = chunk
                end += len(chunk)
            await writing
            return received

        return {"1 MB chunks": chunks}


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
        for chunk in chunks:
            await context.write(chunk)


async def serve() -> None:
    server = grpc.aio.server(options=OPTIONS)
    handlers = {
        "Each": grpc.stream_stream_rpc_method_handler(each),
        "Whole": grpc.stream_stream_rpc_method_handler(whole),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    announce(f"127.0.0.1:{port}")
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
