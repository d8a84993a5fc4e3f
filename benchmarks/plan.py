"""What is measured: each benchmark's feed, its figure, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.measure import ArrayFeed, Budget, CallFeed, Feed, ListFeed, NapFeed
from benchmarks.peers import base

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MB = 1 << 20


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
    warm_up: str = ""
    """The benchmark whose feed warms this one's ways up, when its own would take too long."""
    peers: tuple[str, ...] = ()
    """Who takes part; everybody who has the capability when empty."""
    in_quick: bool = True

    def ways_of(self, peer: Any) -> Mapping[str, Callable[[Any], Any]]:
        if not isinstance(peer, self.capability):
            return {}
        ways: Mapping[str, Callable[[Any], Any]] = getattr(peer, self.method)()
        return ways


def _flood(size: int, share: float) -> Benchmark:
    return Benchmark(
        name=f"throughput-{size}",
        group="throughput",
        title=f"Many in flight: {size:,} calls at once",
        figure="rate",
        unit="calls/s",
        lower_is_better=False,
        capability=base.Floods,
        method="floods",
        feed=lambda budget: ListFeed(budget, size, step=0),
        budget=Budget(seconds=0.4, at_least=1, at_most=1000),
        share=share,
        warm_up="throughput-1000",
    )


def _echo(label: str, size: int, budget: Budget, share: float) -> Benchmark:
    return Benchmark(
        name=f"echo-{label}",
        group="echo",
        title=f"Echo of a numpy array of {label}",
        figure="gbps",
        unit="GB/s",
        lower_is_better=False,
        capability=base.Echoes,
        method="echoes",
        feed=lambda budget: ArrayFeed(budget, size),
        budget=budget,
        share=share,
    )


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


_ALL = (
    Benchmark(
        name="latency",
        group="latency",
        title="One call at a time",
        figure="p50",
        unit="µs",
        lower_is_better=True,
        capability=base.Calls,
        method="calls",
        feed=CallFeed,
        budget=Budget(seconds=0.5, at_least=200, at_most=5000),
        share=4.0,
    ),
    replace(_flood(1_000, 5.0), in_quick=False),
    _flood(10_000, 16.0),
    # Whether the rate stays what it is: slower peers would take half a minute a round to say so.
    replace(_flood(100_000, 2.0), peers=("iris",), in_quick=False),
    _echo("1 MB", MB, Budget(seconds=0.3, at_least=10, at_most=1000), 1.5),
    _echo("64 MB", 64 * MB, Budget(seconds=0.5, at_least=2, at_most=20), 6.5),
    _pool("tasks", f"Tiny tasks, 2,000 submitted at once to {base.WORKERS} workers", base.Tasks, 2_000, 2.5),
    _pool(
        "maps",
        f"Tiny tasks mapped in chunks of {base.CHUNKSIZE} over {base.WORKERS} workers",
        base.Maps,
        16_384,
        1.5,
    ),
    Benchmark(
        name="naps",
        group="naps",
        title=f"200 tasks of {base.NAP:g} s each on {base.WORKERS} workers: ideal time over time taken",
        figure="ideal",
        unit="of ideal",
        lower_is_better=False,
        capability=base.Naps,
        method="naps",
        feed=lambda budget: NapFeed(budget, 200, base.NAP, base.WORKERS),
        budget=Budget(seconds=0.1, at_least=1, at_most=1),
        share=20.0,
        warm_up="tasks",
        in_quick=False,
    ),
)

BENCHMARKS: dict[str, Benchmark] = {benchmark.name: benchmark for benchmark in _ALL}
GROUPS: tuple[str, ...] = tuple(dict.fromkeys(benchmark.group for benchmark in _ALL))
