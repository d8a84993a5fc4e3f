"""The project's goals for speed beside what was measured. Reported, never asserted: figures are no tests."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.plan import BENCHMARKS
from benchmarks.results import REFERENCE, Ratio, paired

if TYPE_CHECKING:
    from benchmarks.plan import Benchmark
    from benchmarks.results import Results, Row


@dataclass(frozen=True, slots=True)
class Goal:
    """iris / peer in one benchmark: at least `bound`, or at most where lower is better."""

    benchmark: str
    peer: str
    bound: float
    way: str = ""
    """Which of the peer's ways; its best one when empty."""
    note: str = ""


GOALS = (
    Goal("latency", "grpc-stream", 1.15),
    Goal("latency", "ray", 0.4),
    Goal("latency", "pyro5", 1.0),
    Goal("throughput-10000", "ray", 20.0),
    Goal("throughput-10000", "xoscar", 5.0, way="gather"),
    Goal("throughput-10000", "pyro5", 1.5, way="one batch, serpent"),
    Goal("throughput-10000", "pyro5", 1.5, way="one batch, msgpack"),
    Goal("echo-64 MB", "ray", 4.0, note="one host; 2 over TCP"),
    Goal("echo-64 MB", "xoscar", 4.0, note="one host; 2 over TCP"),
    Goal("tasks", "loky", 5.0),
    Goal("tasks", "processpool", 3.0),
    Goal("tasks", "ray", 20.0),
)


@dataclass(frozen=True, slots=True)
class Limit:
    """A figure of iris alone: at most `bound`, or at least where higher is better."""

    benchmark: str
    figure: str
    bound: float
    unit: str


LIMITS = (
    Limit("naps", "ideal", 0.97, "of ideal"),
    Limit("resolve-10000", "us", 2.0, "µs"),
    Limit("sync", "seconds", 1.0, "s"),
    Limit("imports", "ms", 250.0, "ms"),
    Limit("starts", "ms", 2000.0, "ms"),
    Limit("memory-session", "client", 98.0, "KiB, client's"),
    Limit("memory-session", "server", 98.0, "KiB, server's"),
    Limit("memory-echo", "client", 3.0, "x payload, client's peak"),
    Limit("memory-echo", "server", 3.0, "x payload, server's peak"),
)


@dataclass(frozen=True, slots=True)
class Flatness:
    """iris at one size over iris at another: at least `bound`, or at most where lower is better."""

    above: tuple[str, str]
    """Benchmark and way; the first way when empty."""
    below: tuple[str, str]
    bound: float
    note: str


FLATNESS = (
    Flatness(("throughput-100000", ""), ("throughput-1000", ""), 0.9, "flat"),
    Flatness(("resolve-10000", ""), ("resolve-10", ""), 3.0, "O(1), but for the processor's caches"),
    Flatness(("dispatch-10000", "100 workers"), ("dispatch-10000", "2 workers"), 0.9, "flat"),
    Flatness(("dispatch-100000", "100 workers"), ("dispatch-100000", "2 workers"), 0.9, "flat"),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    what: str
    wanted: str
    ratio: Ratio
    met: bool
    note: str


def verdicts(results: Results) -> list[Verdict]:
    """One for each goal whose sides were measured."""
    found = [_verdict(results, goal) for goal in GOALS]
    found += [_within(results, limit) for limit in LIMITS]
    found += [_flat(results, flatness) for flatness in FLATNESS]
    return [verdict for verdict in found if verdict is not None]


def _within(results: Results, limit: Limit) -> Verdict | None:
    table = results.table(limit.benchmark)
    row = table.reference if table is not None else None
    if table is None or row is None or not row.samples:
        return None
    values = [sample[limit.figure] for sample in row.samples.values()]
    measured = Ratio(statistics.median(values), min(values), max(values))
    return _judge(f"{limit.benchmark}: iris", measured, limit.bound, table.benchmark, limit.unit)


def _flat(results: Results, flatness: Flatness) -> Verdict | None:
    above, below = _row(results, *flatness.above), _row(results, *flatness.below)
    if above is None or below is None:
        return None
    benchmark = BENCHMARKS[flatness.above[0]]
    ratio = paired(above, below, benchmark.figure)
    if ratio is None:
        return None
    names = [f"{name}, {way}" if way else name for name, way in (flatness.above, flatness.below)]
    return _judge(f"iris: {' / '.join(names)}", ratio, flatness.bound, benchmark, flatness.note)


def _row(results: Results, name: str, way: str) -> Row | None:
    table = results.table(name)
    if table is None or not way:
        return table.reference if table is not None else None
    return next((row for row in table.rows if (row.peer, row.way) == (REFERENCE, way)), None)


def _judge(what: str, measured: Ratio, bound: float, benchmark: Benchmark, note: str) -> Verdict:
    lower = benchmark.lower_is_better
    met = measured.median <= bound if lower else measured.median >= bound
    return Verdict(what, f"{'≤' if lower else '≥'} {bound:g}", measured, met, note)


def _verdict(results: Results, goal: Goal) -> Verdict | None:
    table = results.table(goal.benchmark)
    if table is None:
        return None
    lower = table.benchmark.lower_is_better

    def merit(row: Row) -> float:
        median = row.median(table.benchmark.figure) or 0.0
        return -median if lower else median

    rows = [row for row in table.rows if row.peer == goal.peer and row.samples and goal.way in {"", row.way}]
    ratio = table.ratio(max(rows, key=merit)) if rows else None
    if ratio is None:
        return None
    what = f"{goal.benchmark}: iris / {goal.peer}" + (f", {goal.way}" if goal.way else "")
    return _judge(what, ratio, goal.bound, table.benchmark, goal.note)
