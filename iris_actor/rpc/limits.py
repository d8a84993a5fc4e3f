"""Limits: how much a server takes on before it says no."""

from __future__ import annotations

from dataclasses import dataclass, fields

from iris_actor.codec import ONE_PIECE

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

INLINE = ONE_PIECE + 4 * KIB
"""Bytes up to which a body stands in its frame, the pickle around a buffer included; a larger one travels as
chunks."""

COUNTED = 64 * KIB
"""Bytes from which a body counts for `Limits.max_pending_bytes`. The number of calls bounds smaller ones."""

CHUNK = 512 * KIB
"""Bytes of one chunk: large enough for full speed, small enough to delay a small call by less than 1 ms."""

PACKET_BYTES = 256 * KIB
PACKET_FRAMES = 1024
"""What one packet of small frames may hold, so that parsing it never holds the loop for long."""

WINDOW = 16 * MIB
"""Bytes of chunks that may be unacknowledged, which bounds what a sender keeps for a resumed session."""

STREAM_CREDIT = 64
"""Items of a stream that a server sends ahead of the consumer."""

MAX_MESSAGE = 8 * MIB
"""What gRPC may refuse a message for; nothing of ours comes near."""

RESUME_WINDOW = 30.0
"""Seconds for which a session outlives its stream."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server takes on.

    Attributes:
        max_payload: bytes that the arguments of one call, or one result, may have.
        max_pending_bytes: bytes of arguments that may be arriving or waiting on one server.
        max_in_flight: calls that one server may have queued and running.
        max_in_flight_per_caller: likewise for one caller (a process, usually).
        resume_window: seconds for which a caller whose connection broke may come back to its calls.

    Raises:
        ValueError: when a limit is not positive.
    """

    max_payload: int = 8 * GIB
    max_pending_bytes: int = 16 * GIB
    max_in_flight: int = 500_000
    max_in_flight_per_caller: int = 150_000
    resume_window: float = RESUME_WINDOW

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise ValueError(f"Limits.{field.name} must be a positive number, got {value!r}")
