"""What a peer offers the harness: to be started and stopped, and *ways* of doing each kind of work.

A way is a plain function or an `async def` one. The harness times it in its own loop (in the peer's own
event loop when it is async), so that peers hold no timing code and all are timed by the same lines. A peer
may have several ways of one kind (a future each, or one batch): each is a row of its own in the tables.
The first way of iris is what every ratio is taken against.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping


class Peer(Protocol):
    """A way of calling Python in another process. Obligations: its server or workers are processes of
    their own, started by `start` and gone after `stop`, which may be called twice and after a failed start.
    """

    #: Distributions whose versions the report names.
    distributions: tuple[str, ...]
    #: Runs this peer's async ways; None when it has none.
    loop: asyncio.AbstractEventLoop | None

    def start(self) -> None: ...

    def stop(self) -> None: ...


@runtime_checkable
class Calls(Protocol):
    """One call at a time: a way takes an int and returns the same int, from the other process."""

    def calls(self) -> Mapping[str, Callable[[int], Any]]: ...


@runtime_checkable
class Floods(Protocol):
    """Many in flight: a way takes a list of ints, issues a call for each before waiting for the first
    reply, and returns the replies in order."""

    def floods(self) -> Mapping[str, Callable[[list[int]], Any]]: ...


@runtime_checkable
class Echoes(Protocol):
    """Large payloads: a way takes an int64 array and returns an equal one that came from the other process.
    The server holds the whole array before it replies, as a method that computes on it must."""

    def echoes(self) -> Mapping[str, Callable[[Any], Any]]: ...


@runtime_checkable
class Tasks(Protocol):
    """A pool of two workers: a way takes a list of ints, submits `increment` of each, one task an int, and
    returns the results in order."""

    def tasks(self) -> Mapping[str, Callable[[list[int]], Any]]: ...


@runtime_checkable
class Maps(Protocol):
    """The same pool's `map` in chunks of 64, where tasks are handed over in bulk."""

    def maps(self) -> Mapping[str, Callable[[list[int]], Any]]: ...


@runtime_checkable
class Naps(Protocol):
    """The same pool with tasks that are not tiny: a way takes a list of ints, submits `nap` of each, and
    returns the results in order."""

    def naps(self) -> Mapping[str, Callable[[list[int]], Any]]: ...


WORKERS = 2
CHUNKSIZE = 64
NAP = 0.1
"""Seconds of the task that is not tiny."""


def increment(x: int) -> int:
    """The tiny task; not an echo, so that a reply proves that it ran."""
    return x + 1


def nap(x: int) -> int:
    """A task that takes its time, but none of the machine's."""
    time.sleep(NAP)
    return x + 1


def echo(x: Any) -> Any:
    """What an actor's method does, for the pools that have functions only."""
    return x
