"""Two links and what lies between them: messages in flight, cuts, and a clock that stands still."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from iris_actor.codec import Body
from iris_actor.rpc.protocol.link import Link

MAX_PAYLOAD = 64 * 1024 * 1024


@dataclass
class Side:
    """A link, what was sent over it, and what took effect at it, in order."""

    name: str
    link: Link = field(default_factory=lambda: Link(lambda size: memoryview(bytearray(size))))
    sent: list[Any] = field(default_factory=list)
    got: list[Any] = field(default_factory=list)
    bodies_sent: dict[int, bytes] = field(default_factory=dict)
    bodies_got: dict[int, bytes] = field(default_factory=dict)
    transfers: dict[int, Any] = field(default_factory=dict)
    in_flight: deque[bytes] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.link.max_payload = MAX_PAYLOAD

    def send(self) -> None:
        """Queue a small frame: each has a number of its own."""
        number = len(self.sent) + 1
        self.sent.append(number)
        self.link.queue("calls", {"id": number, "data": b"small"})

    def send_body(self, parts: list[bytes]) -> int:
        """Queue a frame with a body beside it; returns the frame's number."""
        number = len(self.sent) + 1
        self.sent.append(number)
        transfer = self.link.queue_body("calls", {"id": number}, [memoryview(part) for part in parts])
        self.transfers[number] = transfer
        self.bodies_sent[number] = b"".join(parts)
        return number


class Pair:
    """Two sides. Nothing happens by itself: `write`, `deliver`, `cut` and `connect` are the events."""

    def __init__(self) -> None:
        self.now = 0.0
        self.client = Side("client")
        self.server = Side("server")
        self.connected = False
        self.connect()

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.client, self.server

    def other(self, side: Side) -> Side:
        return self.server if side is self.client else self.client

    def connect(self) -> None:
        """A new stream; each side tells the other what it has."""
        if not self.connected:
            self.connected = True
            self.client.link.attach(self.server.link.received)
            self.server.link.attach(self.client.link.received)

    def cut(self) -> None:
        """The stream breaks, and with it goes what is in flight."""
        self.connected = False
        for side in self.sides:
            side.in_flight.clear()
            side.link.detach()

    def write(self, side: Side) -> bool:
        """Put the side's next packet into flight; whether there was one."""
        data = side.link.next_packet(self.now) if self.connected else None
        if data is not None:
            side.in_flight.append(data)
        return data is not None

    def deliver(self, side: Side) -> bool:
        """Let the other side have the oldest message in flight; whether there was one."""
        if not side.in_flight:
            return False
        self.receive(self.other(side), side.in_flight.popleft())
        return True

    def receive(self, side: Side, data: bytes) -> None:
        """Have `side` take a message."""
        packet = side.link.receive(data, self.now)
        if packet is None:
            return
        for call in packet.calls:
            side.got.append(call.id)
            if not call.data:
                self._expect(side, call.id, call.parts)

    @staticmethod
    def _expect(side: Side, number: int, parts: Any) -> None:
        def arrived(body: Body) -> None:
            assert number not in side.bodies_got
            side.bodies_got[number] = b"".join([bytes(body.data), *map(bytes, body.buffers)])

        side.link.expect(parts.transfer, list(parts.sizes), arrived)

    def settle(self) -> None:
        """Let everything arrive that is going to, acknowledgements included."""
        self.connect()
        while True:
            moved = [self.write(side) for side in self.sides]
            moved += [self.deliver(side) for side in self.sides]
            if any(moved):
                continue
            if all(side.link.flushed for side in self.sides):
                return
            due = min(side.link.due for side in self.sides)
            assert due < float("inf"), "something is not acknowledged, and nobody owes it"
            self.now = max(self.now, due)
