"""What a run has measured, and the ratios that are taken of it."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.measure import Sample
    from benchmarks.plan import Benchmark

REFERENCE = "iris"
LEFT_OUT = "left out"
"""What the error of a row begins with that was not tried."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of figures that were taken in the same round: the median over the rounds, and the extremes."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, pairs: list[tuple[float, float]]) -> Ratio | None:
        ratios = [above / below for above, below in pairs if below]
        return cls(statistics.median(ratios), min(ratios), max(ratios)) if ratios else None


@dataclass(slots=True)
class Row:
    """One way of one peer; `samples` by round."""

    peer: str
    way: str
    samples: dict[int, Sample] = field(default_factory=dict)
    error: str = ""

    @property
    def label(self) -> str:
        return f"{self.peer}, {self.way}" if self.way else self.peer

    def median(self, figure: str) -> float | None:
        return statistics.median(s[figure] for s in self.samples.values()) if self.samples else None


@dataclass(slots=True)
class Table:
    """One benchmark's rows, in the peers' order."""

    benchmark: Benchmark
    rows: list[Row] = field(default_factory=list)

    @property
    def reference(self) -> Row | None:
        """The first way of iris: what the others are compared with."""
        return next((row for row in self.rows if row.peer == REFERENCE), None)

    @property
    def rounds(self) -> int:
        return max((len(row.samples) for row in self.rows), default=0)

    def ratio(self, row: Row) -> Ratio | None:
        """iris / row, over the rounds in which both were measured."""
        reference = self.reference
        return paired(reference, row, self.benchmark.figure) if reference is not None else None


def paired(above: Row, below: Row, figure: str) -> Ratio | None:
    """The ratio of two rows' figures, round by round."""
    common = sorted(above.samples.keys() & below.samples.keys())
    return Ratio.of([(above.samples[r][figure], below.samples[r][figure]) for r in common])


@dataclass(slots=True)
class Results:
    """A whole run."""

    machine: dict[str, str]
    versions: dict[str, str] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    """Peers without figures, or without all of them, and why."""
    mismatch: bool = False
    rounds_asked: int = 0
    quick: bool = False
    seconds: float = 0.0

    def table(self, name: str) -> Table | None:
        return next((table for table in self.tables if table.benchmark.name == name), None)

    def as_json(self) -> dict[str, Any]:
        """Everything, with each round's figures."""
        return {
            "machine": self.machine,
            "versions": self.versions,
            "rounds_asked": self.rounds_asked,
            "quick": self.quick,
            "seconds": self.seconds,
            "absent": self.absent,
            "mismatch": self.mismatch,
            "benchmarks": {table.benchmark.name: self._table_as_json(table) for table in self.tables},
        }

    def as_text_of_json(self) -> str:
        return json.dumps(self.as_json(), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, kept: Any) -> Results:
        """The results that `as_json` was made of.

        Raises:
            ValueError: it is nothing that `as_json` makes, or of benchmarks that there are no longer.
        """
        from benchmarks.plan import BENCHMARKS

        try:
            tables = [
                Table(BENCHMARKS[name], [_row_from_json(row) for row in table["rows"]])
                for name, table in kept["benchmarks"].items()
            ]
            return cls(
                machine=kept["machine"],
                versions=kept["versions"],
                tables=tables,
                absent=kept["absent"],
                mismatch=kept["mismatch"],
                rounds_asked=kept["rounds_asked"],
                quick=kept["quick"],
                seconds=kept["seconds"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the results of these benchmarks: {error!r}") from error

    @staticmethod
    def _table_as_json(table: Table) -> dict[str, Any]:
        rows = []
        for row in table.rows:
            ratio = table.ratio(row)
            rows.append(
                {
                    "peer": row.peer,
                    "way": row.way,
                    "median": row.median(table.benchmark.figure),
                    "iris_over_this": asdict(ratio) if ratio else None,
                    "rounds": [{"round": number, **sample} for number, sample in sorted(row.samples.items())],
                    "error": row.error or None,
                }
            )
        benchmark = table.benchmark
        return {"title": benchmark.title, "figure": benchmark.figure, "unit": benchmark.unit, "rows": rows}


def _row_from_json(kept: Any) -> Row:
    samples = {
        sample["round"]: {k: v for k, v in sample.items() if k != "round"} for sample in kept["rounds"]
    }
    return Row(kept["peer"], kept["way"], samples, kept["error"] or "")
