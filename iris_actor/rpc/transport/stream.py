"""Stream: one connection's way for messages in both directions, as a carrier sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Stream(Protocol):
    """Carries messages, in order and whole, until it ends. There are two: `GrpcStream` and `Lane`.

    `send` and `go_on` are for whoever holds the carrier's lock; everything else happens in the I/O thread.

    Attributes:
        on_message: called with each message that arrives.
        on_room: called when there is room again; it should `go_on`.
        on_end: called once, when the other side is gone (None), or with the error that ended it or that
            `on_message` raised; not after `close`.
        direct: whether any thread may `send`, and file descriptors can go with messages. Else it is for the
            I/O thread alone.
    """

    on_message: Callable[[bytes | memoryview], None]
    on_room: Callable[[], None]
    on_end: Callable[[Exception | None], None]

    @property
    def direct(self) -> bool: ...

    @property
    def blocked(self) -> bool:
        """Whether it takes no message before there is room again."""

    def start(self) -> None:
        """Begin to read."""

    def send(self, message: bytes, fd: int = -1) -> None:
        """Send a message. Not while `blocked`. Never raises: `on_end` tells.

        Args:
            message: what the other side's `on_message` gets.
            fd: a file descriptor that goes with it, where the stream is `direct`; it stays open here.
        """

    def go_on(self) -> bool:
        """Send what was left over; whether there is room for more."""

    def take_fd(self) -> int | None:
        """The file descriptor that came with a message, for its `on_message`; None when there is none."""

    def close(self) -> None:
        """End it. Idempotent."""
