"""KeyRange: one key, or all keys with a prefix; and what is found there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Keys from `first` to before `end`; the key `first` alone, when `end` is empty."""

    first: bytes
    end: bytes = b""

    @classmethod
    def key(cls, key: bytes) -> Self:
        """One key."""
        return cls(key)

    @classmethod
    def prefix(cls, prefix: bytes) -> Self:
        """All keys that begin with `prefix`.

        Raises:
            ValueError: it is empty, or ends in the highest byte, behind which no other prefix stands.
        """
        if prefix[-1:] in {b"", b"\xff"}:
            raise ValueError(f"a prefix of keys must not be empty, nor end in the byte 255, got {prefix!r}")
        return cls(prefix, prefix[:-1] + bytes([prefix[-1] + 1]))

    def __str__(self) -> str:
        return f"{self.first.decode(errors='replace')}{'*' if self.end else ''}"


class KeyValue(NamedTuple):
    """A key with its value.

    Attributes:
        key: the key.
        value: what is stored there.
        created: revision at which the key came to be.
        revision: revision at which it got this value.
        lease: number of the lease that it is on; 0 for none.
    """

    key: bytes
    value: bytes
    created: int
    revision: int
    lease: int
