"""WatchListener: who hears of a range of keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from iris_actor.etcd.key_range import KeyValue


class Change(NamedTuple):
    """What became of a key.

    Attributes:
        key: the key.
        value: what is stored there now; None when the key was deleted.
        revision: at which that happened.
    """

    key: bytes
    value: bytes | None
    revision: int


class WatchListener(Protocol):
    """Who hears of a range of keys, in the thread of the watch: it must not block."""

    def listed(self, keys: Sequence[KeyValue], revision: int) -> None:
        """These, in order of creation, are all keys that there are at `revision`."""

    def changed(self, changes: Sequence[Change], revision: int) -> None:
        """These changes, in their order, lead to `revision`; none before them was left out."""

    def stale(self, stale: bool) -> None:
        """Whether what was told may be behind from now on."""
