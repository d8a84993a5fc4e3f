"""What is measured: each benchmark's feed, its figure, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.measure import (
    ArrayFeed,
    BroadcastFeed,
    Budget,
    BytesFeed,
    CallFeed,
    Feed,
    ListFeed,
    MemoryFeed,
    NapFeed,
    ResolveFeed,
    StartFeed,
    StreamFeed,
    SyncFeed,
)
from benchmarks.peers import base

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KB = 1 << 10
MB = 1 << 20
SETTLES = 4
"""Of echoes: what is seen twice to be missing may be made meanwhile, on both sides."""
FLOORS = ("tcp", "grpc-stream")
"""Peers that carry bytes and call nothing: what can be had at all."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One table of the report."""

    name: str
    """Unique, and a key of `BENCHMARKS`."""
    group: str
    """What `--only` calls it."""
    title: str
    figure: str
    """The key of the sample that ratios are taken of."""
    unit: str
    lower_is_better: bool
    capability: type
    """The protocol a peer has if it takes part; its one method gives the ways."""
    method: str
    feed: Callable[[Budget], Feed]
    budget: Budget
    """One measurement: of one way, in one round."""
    share: float
    """The part of the whole run's time that this benchmark may take, relative to the others'."""
    arguments: tuple[Any, ...] = ()
    """Of the method."""
    columns: tuple[tuple[str, str], ...] = ()
    """(key of the sample, heading): what the table shows. Only the figure when empty."""
    size: int = 0
    """Where it stands on its group's plot: calls in flight, or bytes."""
    of_calls: bool = False
    """Whether `size` counts calls, so that the rate of the warm-up tells how long a measurement takes."""
    warm_up: str = ""
    """The benchmark whose feed warms this one's ways up, when its own would take too long."""
    warms_up: bool = True
    """False where each measurement starts anew, so that there is nothing to warm up."""
    settles: int = 0
    """Repetitions before each measurement that do not count: after others had their turn, fresh memory comes
    in place of what was given back meanwhile, and would be most of what is measured."""
    peers: tuple[str, ...] = ()
    """Who takes part; everybody who has the capability when empty."""
    in_quick: bool = True

    @property
    def shown(self) -> tuple[tuple[str, str], ...]:
        return self.columns or ((self.figure, self.unit),)

    def ways_of(self, peer: Any) -> Mapping[str, Callable[[Any], Any]]:
        if not isinstance(peer, self.capability):
            return {}
        ways: Mapping[str, Callable[[Any], Any]] = getattr(peer, self.method)(*self.arguments)
        return ways


def _flood(size: int, share: float) -> Benchmark:
    return Benchmark(
        name=f"throughput-{size}",
        group="throughput",
        title=f"In flight: {size:,} call{'s' if size > 1 else ''} at once",
        figure="rate",
        unit="calls/s",
        lower_is_better=False,
        capability=base.Floods,
        method="floods",
        feed=lambda budget: ListFeed(budget, size, step=0),
        budget=Budget(seconds=0.25, at_least=1, at_most=2000),
        share=share,
        size=size,
        of_calls=True,
        warm_up="throughput-1000" if size > 1_000 else "",
    )


def _echo(
    label: str,
    size: int,
    budget: Budget,
    share: float,
    peers: tuple[str, ...] = (),
    *,
    as_bytes: bool = False,
) -> Benchmark:
    group, what = ("bytes", "a bytes object") if as_bytes else ("echo", "a numpy array")
    feed = BytesFeed if as_bytes else ArrayFeed
    return Benchmark(
        name=f"{group}-{label}",
        group=group,
        title=f"Echo of {what} of {label}",
        figure="rate",
        unit="echoes/s",
        columns=(("rate", "echoes/s"), ("gbps", "GB/s")),
        lower_is_better=False,
        capability=base.ByteEchoes if as_bytes else base.Echoes,
        method="byte_echoes" if as_bytes else "echoes",
        feed=lambda budget: feed(budget, size),
        budget=budget,
        share=share,
        size=size,
        peers=peers,
        settles=SETTLES if size >= MB else 0,
    )


#: (label, bytes, budget, share, who takes part, whether a quick run has it): of arrays, and of bytes.
_PAYLOADS = (
    ("0 B", 0, Budget(seconds=0.1, at_least=10, at_most=1000), 1.0, (), False),
    ("1 KB", KB, Budget(seconds=0.1, at_least=10, at_most=1000), 1.0, (), False),
    ("64 KB", 64 * KB, Budget(seconds=0.1, at_least=10, at_most=1000), 1.0, (), False),
    ("1 MB", MB, Budget(seconds=0.3, at_least=10, at_most=1000), 2.0, (), True),
    ("16 MB", 16 * MB, Budget(seconds=0.3, at_least=2, at_most=100), 3.0, (), False),
    ("64 MB", 64 * MB, Budget(seconds=0.5, at_least=2, at_most=20), 8.0, (), True),
    # Others would need gigabytes, or half a minute for one.
    ("256 MB", 256 * MB, Budget(seconds=0.5, at_least=1, at_most=4), 2.0, ("iris", *FLOORS), False),
)


def _echoes(*, as_bytes: bool) -> list[Benchmark]:
    return [
        replace(
            _echo(label, size, budget, share, peers, as_bytes=as_bytes),
            in_quick=in_quick and not as_bytes,
        )
        for label, size, budget, share, peers, in_quick in _PAYLOADS
    ]


def _pool(group: str, title: str, capability: type, size: int, share: float) -> Benchmark:
    return Benchmark(
        name=group,
        group=group,
        title=title,
        figure="rate",
        unit="tasks/s",
        lower_is_better=False,
        capability=capability,
        method=group,
        feed=lambda budget: ListFeed(budget, size, step=1),
        budget=Budget(seconds=0.4, at_least=1, at_most=1000),
        share=share,
    )


def _dispatch(size: int, share: float) -> Benchmark:
    title = f"Tiny tasks, {size:,} at once: the pool's dispatching alone"
    whole = _pool("dispatch", title, base.Dispatches, size, share)
    return replace(whole, name=f"dispatch-{size}", method="dispatches", in_quick=False)


def _naps(group: str, size: int, task: Callable[[int], int], seconds: float, share: float) -> Benchmark:
    each = f"{size:,} tasks of {seconds * 1000:g} ms"
    return Benchmark(
        name=group,
        group=group,
        title=f"{each} on {base.WORKERS} workers: ideal time over time taken",
        figure="ideal",
        unit="of ideal",
        lower_is_better=False,
        capability=base.Tasks,
        method="tasks",
        arguments=(task,),
        feed=lambda budget: NapFeed(budget, size, seconds, base.WORKERS),
        budget=Budget(seconds=0.1, at_least=1, at_most=1),
        share=share,
        warm_up="tasks",
        in_quick=False,
    )


def _many(group: str, title: str, capability: type, share: float) -> Benchmark:
    return Benchmark(
        name=group,
        group=group,
        title=title,
        figure="rate",
        unit="calls/s",
        lower_is_better=False,
        capability=capability,
        method=group,
        feed=lambda budget: ListFeed(budget, 10_000, step=0),
        budget=Budget(seconds=0.4, at_least=1, at_most=100),
        share=share,
        in_quick=False,
    )


_LATENCY = Benchmark(
    name="latency",
    group="latency",
    title="One call at a time",
    figure="p50",
    unit="µs",
    columns=(("p50", "p50 µs"), ("p99", "p99 µs")),
    lower_is_better=True,
    capability=base.Calls,
    method="calls",
    feed=CallFeed,
    budget=Budget(seconds=0.5, at_least=200, at_most=5000),
    share=4.0,
)


def _broadcast(members: int, at_least: int) -> Benchmark:
    return replace(
        _LATENCY,
        name=f"broadcast-{members}",
        group="broadcast",
        title=f"One call to each of {members} actors in 2 server processes",
        capability=base.Broadcasts,
        method="broadcasts",
        arguments=(members,),
        feed=lambda budget: BroadcastFeed(budget, members),
        budget=Budget(seconds=0.4, at_least=at_least, at_most=2000),
        share=1.0,
        in_quick=False,
    )


def _resolve(names: int) -> Benchmark:
    return Benchmark(
        name=f"resolve-{names}",
        group="registry",
        title=f"Resolving one of {names:,} names, from a resolver's cache",
        figure="us",
        unit="µs",
        lower_is_better=True,
        capability=base.Resolves,
        method="resolves",
        arguments=(names,),
        feed=lambda budget: ResolveFeed(budget, names, base.address_of),
        budget=Budget(seconds=0.2, at_least=2, at_most=100),
        share=0.5,
        in_quick=False,
    )


def _fresh(name: str, title: str, capability: type, share: float) -> Benchmark:
    return Benchmark(
        name=name,
        group="startup",
        title=title,
        figure="ms",
        unit="ms",
        lower_is_better=True,
        capability=capability,
        method=name,
        feed=StartFeed,
        budget=Budget(seconds=0.1, at_least=1, at_most=3),
        share=share,
        warms_up=False,
        in_quick=False,
    )


def _memory(kind: str, title: str, size: int, unit: float, words: str) -> Benchmark:
    return Benchmark(
        name=f"memory-{kind}",
        group="memory",
        title=title,
        figure="worse",
        unit=words,
        columns=(("client", f"client, {words}"), ("server", f"server, {words}")),
        lower_is_better=True,
        capability=base.Memory,
        method="memory",
        arguments=(kind,),
        feed=lambda budget: MemoryFeed(budget, size, unit),
        budget=Budget(seconds=0.1, at_least=1, at_most=1),
        share=2.0,
        warms_up=False,
        in_quick=False,
    )


_ALL = (
    _LATENCY,
    replace(
        _LATENCY,
        name="handovers",
        group="handovers",
        title="One call at a time, and the threads it passes through",
        capability=base.Handovers,
        method="handovers",
        budget=Budget(seconds=0.3, at_least=200, at_most=2000),
        share=1.5,
        in_quick=False,
    ),
    replace(_flood(1, 2.0), in_quick=False),
    replace(_flood(10, 2.0), in_quick=False),
    replace(_flood(100, 2.0), in_quick=False),
    replace(_flood(1_000, 3.0), in_quick=False),
    _flood(10_000, 14.0),
    # Whether the rate stays what it is: slower peers would take half a minute a round to say so.
    replace(_flood(100_000, 8.0), peers=("iris", *FLOORS, "xoscar", "pyro5", "rpyc"), in_quick=False),
    *_echoes(as_bytes=False),
    *_echoes(as_bytes=True),
    Benchmark(
        name="streams",
        group="streams",
        title="A generator method's items, 10,000 a stream",
        figure="rate",
        unit="items/s",
        lower_is_better=False,
        capability=base.Streams,
        method="streams",
        feed=lambda budget: StreamFeed(budget, 10_000),
        budget=Budget(seconds=0.4, at_least=1, at_most=100),
        share=4.0,
        in_quick=False,
    ),
    _broadcast(base.MEMBERS, 20),
    _broadcast(base.MANY, 5),
    replace(
        _pool("tasks", f"Tiny tasks, 2,000 at once to {base.WORKERS} workers", base.Tasks, 2_000, 4.0),
        arguments=(base.increment,),
    ),
    _pool(
        "maps",
        f"Tiny tasks mapped in chunks of {base.CHUNKSIZE} over {base.WORKERS} workers",
        base.Maps,
        16_384,
        1.5,
    ),
    _dispatch(10_000, 1.0),
    _dispatch(100_000, 4.0),
    _naps("medium", 1_000, base.doze, base.DOZE, 4.0),
    _naps("naps", 200, base.nap, base.NAP, 20.0),
    _many("crowds", f"{base.CLIENTS} client processes on one server, 10,000 calls at once", base.Crowds, 6.0),
    _many("fleets", f"One client on {base.MANY} servers, 10,000 calls at once", base.Fleets, 2.0),
    _resolve(base.FEW),
    _resolve(base.ENDPOINTS),
    Benchmark(
        name="sync",
        group="registry",
        title=f"A resolver's first listing of {base.ENDPOINTS:,} names, from etcd",
        figure="seconds",
        unit="s",
        lower_is_better=True,
        capability=base.Syncs,
        method="syncs",
        warms_up=False,
        feed=lambda budget: SyncFeed(budget, base.ENDPOINTS),
        budget=Budget(seconds=0.5, at_least=1, at_most=5),
        share=1.0,
        in_quick=False,
    ),
    _fresh("imports", "A fresh interpreter until it has imported the package", base.Imports, 4.0),
    _fresh("starts", f"A fresh program to its pool's first result, {base.WORKERS} workers", base.Starts, 8.0),
    _memory("session", "Memory of an idle session, of 200", 200, KB, "KiB"),
    _memory("call", "Memory of a pending call, of 20,000", 20_000, KB, "KiB"),
    _memory("echo", "Peak memory of an echo of a numpy array of 256 MB", 256 * MB, 1, "x payload"),
)

BENCHMARKS: dict[str, Benchmark] = {benchmark.name: benchmark for benchmark in _ALL}
GROUPS: tuple[str, ...] = tuple(dict.fromkeys(benchmark.group for benchmark in _ALL))
