"""The project's goals for speed beside what was measured. Reported, never asserted: figures are no tests."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.results import Ratio, paired

if TYPE_CHECKING:
    from benchmarks.results import Results, Row, Table


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
    Limit("sync", "seconds", 1.0, "s"),
    Limit("memory-echo", "client", 3.0, "x payload, client's peak"),
    Limit("memory-echo", "server", 3.0, "x payload, server's peak"),
)


@dataclass(frozen=True, slots=True)
class Flatness:
    """iris in one benchmark over iris in another, which differs in size: at least `bound`, or at most where
    lower is better."""

    above: str
    below: str
    bound: float
    note: str


FLATNESS = (
    Flatness("throughput-100000", "throughput-1000", 0.9, "flat"),
    Flatness("resolve-10000", "resolve-10", 3.0, "O(1), but for the processor's caches"),
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
    return _judge(f"{limit.benchmark}: iris", measured, limit.bound, table, limit.unit)


def _flat(results: Results, flatness: Flatness) -> Verdict | None:
    above, below = results.table(flatness.above), results.table(flatness.below)
    if above is None or below is None or above.reference is None or below.reference is None:
        return None
    ratio = paired(above.reference, below.reference, above.benchmark.figure)
    what = f"iris, {flatness.above} / {flatness.below}"
    return _judge(what, ratio, flatness.bound, above, flatness.note) if ratio is not None else None


def _judge(what: str, measured: Ratio, bound: float, table: Table, note: str) -> Verdict:
    lower = table.benchmark.lower_is_better
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
    return _judge(what, ratio, goal.bound, table, goal.note)
