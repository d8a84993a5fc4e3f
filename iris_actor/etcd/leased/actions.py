"""What a LeasePlan asks for, and what it has to tell: values, which tests compare."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from iris_actor.etcd.leased.key import LeasedKey


@dataclass(frozen=True, slots=True)
class Grant:
    """Grant a lease."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Give the data an id, unless they have one."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Keep the lease alive."""

    lease: int


@dataclass(frozen=True, slots=True)
class Look:
    """See which keys are on the lease."""

    lease: int


@dataclass(frozen=True, slots=True)
class PutFree:
    """Put all of the keys in one transaction, if none of them exists."""

    keys: tuple[LeasedKey, ...]
    lease: int


@dataclass(frozen=True, slots=True)
class PutOwn:
    """Put the key if it is free, on a lease of `own`, or has the value that it may replace."""

    key: LeasedKey
    lease: int
    own: frozenset[int]


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the key if it is on the lease."""

    key: LeasedKey
    lease: int


@dataclass(frozen=True, slots=True)
class Revoke:
    """End the lease, and all keys on it, and give up after `timeout` seconds."""

    lease: int
    timeout: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing until then, or until something changes."""

    until: float


@dataclass(frozen=True, slots=True)
class End:
    """There is nothing to do any more."""


Request = Grant | Mark | KeepAlive | Look | PutFree | PutOwn | Delete | Revoke
"""What is asked of etcd."""
Action = Request | Wait | End


class Event(Enum):
    """What an operator may want to know."""

    LEASE_GONE = "lease gone"
    LOST = "lost"
    BACK = "back"
    DOUBTFUL = "doubtful"
    KEPT = "kept"
    NOT_PUT_BACK = "not put back"
    NOT_DELETED = "not deleted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class News:
    """One event, the keys that it is about, and the error behind it."""

    event: Event
    keys: tuple[LeasedKey, ...] = ()
    error: Exception | None = None
