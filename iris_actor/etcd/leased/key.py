"""LeasedKey: one key that this process keeps in etcd for as long as it lives."""

from __future__ import annotations

from enum import Enum


class KeyState(Enum):
    """Where a key is between wish and deed. docs/design/registry.md draws how one leads to another."""

    WANTED = "wanted"
    """It has never stood; it is put, or tried to be put."""
    STANDS = "stands"
    DOUBTFUL = "doubtful"
    """It stood, and etcd has been silent for longer than the lease lives without a sign from us."""
    LOST = "lost"
    """It stood, and is there no more; it is put back."""
    LEAVING = "leaving"
    """It is no longer wanted, and is deleted if it is still ours."""
    GONE = "gone"
    """Nothing is to be done about it."""


class LeasedKey:
    """One key and what is known of it. Its fields are written by whoever keeps it, under a lock of theirs.

    Args:
        key: the key.
        value: what to store there.
        name: what the log calls it; the key, when empty.
        previous: a value that may be replaced, whoever put it: it fences off whoever held the key before.
            Without one the key is only put where there is none.

    Attributes:
        state: where it is; any thread may read it.
        error: why it could not be put when that was last tried.
        lease: number of the lease under which it was put, or may have been put: an attempt counts.
        deletions: how often it is still to be deleted: a put of unknown outcome may come late.
    """

    __slots__ = ("deletions", "error", "key", "lease", "name", "previous", "state", "value")

    def __init__(self, key: bytes, value: bytes, *, name: str = "", previous: bytes | None = None) -> None:
        self.key = key
        self.value = value
        self.name = name or key.decode(errors="replace")
        self.previous = previous
        self.state = KeyState.WANTED
        self.error: Exception | None = None
        self.lease = 0
        self.deletions = 1

    @property
    def stands(self) -> bool:
        """Whether it is in etcd now, as far as is known."""
        return self.state is KeyState.STANDS

    def __repr__(self) -> str:
        return f"<leased key {self.name}: {self.state.value}>"
