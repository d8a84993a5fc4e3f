"""Bare gRPC, a unary call each: raw bytes, no protobuf message, no pickle, no dispatch to a method."""

from __future__ import annotations

import asyncio
import struct
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import numpy as np

from benchmarks.processes import FreshProcess, ServerProcess, announce, wait_for_end

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SERVICE = "benchmarks.Echo"
METHOD = f"/{SERVICE}/Unary"
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
# A gRPC server resets calls at random from 1,000 not yet accepted ones on; 10,000 at once need leave.
SERVER_OPTIONS = [
    *OPTIONS,
    ("grpc.server.max_pending_requests", 1 << 20),
    ("grpc.server.max_pending_requests_hard_limit", 1 << 20),
]
INT = struct.Struct("!q")


class GrpcUnary:
    distributions = ("grpcio",)

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._server: ServerProcess | None = None

    def start(self) -> None:
        self._server = ServerProcess(__name__)
        self._channel = grpc.insecure_channel(self._server.address, OPTIONS)
        self._unary = self._channel.unary_unary(METHOD)
        asyncio.set_event_loop(self.loop)
        self._aio_channel = grpc.aio.insecure_channel(self._server.address, OPTIONS)
        self._aio_unary = self._aio_channel.unary_unary(METHOD)

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def calls(self) -> Mapping[str, Callable[[int], Any]]:
        pack, unpack = INT.pack, INT.unpack

        return {"sync": lambda x: unpack(self._unary(pack(x)))[0]}

    def floods(self) -> Mapping[str, Callable[[list[int]], Any]]:
        pack, unpack = INT.pack, INT.unpack

        def futures(values: list[int]) -> list[int]:
            calls = [self._unary.future(pack(x)) for x in values]
            return [unpack(call.result())[0] for call in calls]

        async def aio(values: list[int]) -> list[int]:
            replies = await asyncio.gather(*[self._aio_unary(pack(x)) for x in values])
            return [unpack(reply)[0] for reply in replies]

        return {"sync futures": futures, "aio": aio}

    def echoes(self) -> Mapping[str, Callable[[Any], Any]]:
        return {"sync": lambda array: np.frombuffer(self._unary(array.tobytes()), dtype=array.dtype)}

    def byte_echoes(self) -> Mapping[str, Callable[[bytes], Any]]:
        return {"sync": self._unary}

    def imports(self) -> Mapping[str, Callable[[int], FreshProcess]]:
        return {"import grpc": partial(FreshProcess, "import grpc\ntell(x + 1)")}


create = GrpcUnary


def serve() -> None:
    # Threads and not grpc.aio: measured, the faster of the two for an echo.
    server = grpc.server(ThreadPoolExecutor(4), options=SERVER_OPTIONS)
    handler = grpc.unary_unary_rpc_method_handler(lambda request, _context: request)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Unary": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    announce(f"127.0.0.1:{port}")
    wait_for_end()


if __name__ == "__main__":
    serve()
