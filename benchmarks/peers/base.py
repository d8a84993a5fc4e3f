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

    from benchmarks.processes import FreshProcess


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
class Handovers(Protocol):
    """As `Calls`: the ways differ in the threads that a call passes through."""

    def handovers(self) -> Mapping[str, Callable[[int], Any]]: ...


@runtime_checkable
class Floods(Protocol):
    """Many in flight: a way takes a list of ints, issues a call for each before waiting for the first
    reply, and returns the replies in order."""

    def floods(self) -> Mapping[str, Callable[[list[int]], Any]]: ...


@runtime_checkable
class Echoes(Protocol):
    """Payloads: a way takes an int64 array and returns an equal one that came from the other process.
    The server holds the whole array before it replies, as a method that computes on it must."""

    def echoes(self) -> Mapping[str, Callable[[Any], Any]]: ...


@runtime_checkable
class ByteEchoes(Protocol):
    """The same with a bytes object, and anything bytes-like as the reply."""

    def byte_echoes(self) -> Mapping[str, Callable[[bytes], Any]]: ...


@runtime_checkable
class Streams(Protocol):
    """A generator in the other process: a way takes a range of ints, has each of them yielded there, and
    returns a list of what it received, item by item."""

    def streams(self) -> Mapping[str, Callable[[range], Any]]: ...


@runtime_checkable
class Broadcasts(Protocol):
    """One call to each of `members` actors: a way takes an int and returns a (member, int) pair of each."""

    def broadcasts(self, members: int) -> Mapping[str, Callable[[int], Any]]: ...


@runtime_checkable
class Crowds(Protocol):
    """Many clients, processes of their own, on one server: a way takes a list of ints, gives each client an
    equal part of it to call the server with, all of the part in flight, and returns the replies in order."""

    def crowds(self) -> Mapping[str, Callable[[list[int]], Any]]: ...


@runtime_checkable
class Fleets(Protocol):
    """One client on many servers: as `Floods`, with the calls spread evenly over the servers."""

    def fleets(self) -> Mapping[str, Callable[[list[int]], Any]]: ...


@runtime_checkable
class Tasks(Protocol):
    """A pool of two workers: a way takes a list of ints, submits `task` of each, one task an int, and
    returns the results in order."""

    def tasks(self, task: Callable[[int], int]) -> Mapping[str, Callable[[list[int]], Any]]: ...


@runtime_checkable
class Dispatches(Protocol):
    """A pool's dispatching alone, with workers that answer at once: a way takes a list of ints and returns
    `increment` of each, in order."""

    def dispatches(self) -> Mapping[str, Callable[[list[int]], Any]]: ...


@runtime_checkable
class Maps(Protocol):
    """The same pool's `map` in chunks of 64, where tasks are handed over in bulk."""

    def maps(self) -> Mapping[str, Callable[[list[int]], Any]]: ...


@runtime_checkable
class Resolves(Protocol):
    """A namespace of `names` names, from the client's cache: a way takes a list of ints, resolves the names
    with these numbers, and returns what was found: objects with `endpoints`, which have an `address` each."""

    def resolves(self, names: int) -> Mapping[str, Callable[[list[int]], Any]]: ...


@runtime_checkable
class Syncs(Protocol):
    """A new resolver's first listing of `ENDPOINTS` names: a way takes an int that means nothing and returns
    the resolver, which has `list()` and `close()`."""

    def syncs(self) -> Mapping[str, Callable[[int], Any]]: ...


@runtime_checkable
class Imports(Protocol):
    """Fresh interpreters that import a package: a way takes an int and returns a process that has imported
    it and then told the next int."""

    def imports(self) -> Mapping[str, Callable[[int], FreshProcess]]: ...


@runtime_checkable
class Starts(Protocol):
    """Fresh programs that start a pool of two workers: a way takes an int and returns a process that has
    told what `increment` of it, the pool's first task, has given."""

    def starts(self) -> Mapping[str, Callable[[int], FreshProcess]]: ...


@runtime_checkable
class Memory(Protocol):
    """Memory in fresh processes: a way takes a number of sessions, calls or bytes, and returns the bytes
    that all of them together have cost the client and the server: {"client": bytes, "server": bytes}."""

    def memory(self, kind: str) -> Mapping[str, Callable[[int], Any]]: ...


WORKERS = 2
CHUNKSIZE = 64
NAP = 0.1
"""Seconds of the task that is not tiny."""
DOZE = 0.001
"""Seconds of the medium task."""
CLIENTS = 50
"""Processes of the crowd that call one server."""
SERVERS = 50
"""Servers that one client calls, in two processes."""
MEMBERS = 20
"""Actors that a broadcast goes to, half of them in each of two processes."""
MANY = 200
"""Clients, servers, and actors that a broadcast goes to, to see how costs grow."""
ENDPOINTS = 10_000
FEW = 10
"""Names in the registry, in a namespace of that many and in another of this many."""


def increment(x: int) -> int:
    """The tiny task; not an echo, so that a reply proves that it ran."""
    return x + 1


def nap(x: int) -> int:
    """A task that takes its time, but none of the machine's."""
    time.sleep(NAP)
    return x + 1


def doze(x: int) -> int:
    """The same, for as long as a message or two take."""
    time.sleep(DOZE)
    return x + 1


def echo(x: Any) -> Any:
    """What an actor's method does, for the pools that have functions only."""
    return x


def address_of(number: int) -> str:
    """Where the registry says that name `number` is served. Nobody is there: it is only looked up."""
    return f"127.0.0.1:{10_000 + number}"
