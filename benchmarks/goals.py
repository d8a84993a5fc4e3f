"""The project's goals for speed beside what was measured. Reported, never asserted: figures are no tests."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.results import Ratio, paired

if TYPE_CHECKING:
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
#: iris alone: the ideal time of tasks that take their time, over what they took.
EVEN = ("naps", 0.97)
#: iris against itself: the rate at 100,000 in flight over that at 1,000.
FLATNESS = ("throughput-100000", "throughput-1000", 0.9)


@dataclass(frozen=True, slots=True)
class Verdict:
    what: str
    wanted: str
    ratio: Ratio
    met: bool
    note: str


def verdicts(results: Results) -> list[Verdict]:
    """One for each goal whose two sides were both measured."""
    found = [verdict for goal in GOALS if (verdict := _verdict(results, goal)) is not None]
    even = results.table(EVEN[0])
    if even is not None and even.reference is not None and even.reference.samples:
        shares = [sample[even.benchmark.figure] for sample in even.reference.samples.values()]
        ratio = Ratio(statistics.median(shares), min(shares), max(shares))
        found.append(
            Verdict(f"iris, {EVEN[0]}", f"≥ {EVEN[1]:g}", ratio, ratio.median >= EVEN[1], "of ideal")
        )
    above, below = (results.table(name) for name in FLATNESS[:2])
    if (
        above is not None
        and below is not None
        and above.reference is not None
        and below.reference is not None
    ):
        ratio = paired(above.reference, below.reference, above.benchmark.figure)
        if ratio is not None:
            bound = FLATNESS[2]
            what = f"iris, {FLATNESS[0]} / {FLATNESS[1]}"
            found.append(Verdict(what, f"≥ {bound:g}", ratio, ratio.median >= bound, "flat"))
    return found


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
    met = ratio.median <= goal.bound if lower else ratio.median >= goal.bound
    what = f"{goal.benchmark}: iris / {goal.peer}" + (f", {goal.way}" if goal.way else "")
    return Verdict(what, f"{'≤' if lower else '≥'} {goal.bound:g}", ratio, met, goal.note)
