"""A session client made of nothing but a gRPC channel, that can send what ours never would."""

from __future__ import annotations

import queue
import uuid
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import grpc

from iris_actor._proto import session_pb2 as pb

CONNECT = "/iris_actor.v1.Session/Connect"


class RawSession:
    """One Connect stream. `send` takes packets or bytes; `receive` gives packets."""

    def __init__(self, address: str, metadata: list[tuple[str, str]] | None = None) -> None:
        self._channel = grpc.insecure_channel(address)
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._stream = self._channel.stream_stream(CONNECT)(self._next(), metadata=metadata, timeout=20)
        self._replies: deque[pb.Reply] = deque()
        self.seq = 0

    def _next(self) -> Iterator[bytes]:
        while (message := self._requests.get()) is not None:
            yield message

    def send(self, message: pb.Packet | bytes) -> None:
        """Send a message as it is."""
        self._requests.put(message if isinstance(message, bytes) else message.SerializeToString())

    def hello(self, **fields: Any) -> None:
        """Send a Hello, a valid one where `fields` say nothing else."""
        packet = pb.Packet()
        packet.hello.CopyFrom(
            pb.Hello(**{"version": 1, "session_id": uuid.uuid4().hex, "host": "h", **fields})
        )
        self.send(packet)

    def frame(self, **fields: Any) -> None:
        """Send a packet with these fields and the next sequence number."""
        self.seq += 1
        self.send(pb.Packet(**{"seq": self.seq, **fields}))

    def receive(self) -> pb.Packet:
        """The next packet; raises grpc.RpcError when the server ended the stream with a status."""
        return pb.Packet.FromString(next(self._stream))

    def reply(self) -> pb.Reply:
        """The next reply."""
        while not self._replies:
            self._replies.extend(self.receive().replies)
        return self._replies.popleft()

    def status(self) -> tuple[grpc.StatusCode, str]:
        """How the server ends the stream; what still comes before is ignored."""
        try:
            while True:
                self.receive()
        except StopIteration:
            return grpc.StatusCode.OK, ""
        except grpc.RpcError as error:
            return error.code(), error.details()

    def close(self) -> None:
        """End it."""
        self._requests.put(None)
        self._stream.cancel()
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()
