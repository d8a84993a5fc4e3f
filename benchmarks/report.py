"""Results as text for a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.goals import verdicts
from benchmarks.results import LEFT_OUT

if TYPE_CHECKING:
    from benchmarks.results import Ratio, Results, Row, Table

Cells = list[list[str]]

MISSING = "-"

READING = """\
Every figure is the median of its rounds. iris / peer is the median of the rounds' own ratios, taken against \
iris's first row, with their lowest and highest: below 1, iris is ahead where times or memory \
are measured; above 1, in all else.
A batch is one message with all the calls in it and one reply with all the results: none of its calls can \
start before the last is made, come back before the last is done, or fail, time out or be cancelled by itself.
tcp, grpc-unary and grpc-stream carry bytes and call nothing: they are floors, not frameworks.
Memory is what a process has resident, which allocators give back late: a figure may be off by some hundred \
KiB for the whole process.
Ray's echo on one host goes through its shared memory, and its arrays are read-only."""


@dataclass(frozen=True, slots=True)
class Style:
    """How headings and tables are written."""

    heading: Callable[[str], str]
    table: Callable[[Cells], str]


def as_text(results: Results) -> str:
    return "\n".join(_all(results, TEXT)).lstrip("\n")


def as_markdown(results: Results) -> str:
    return "\n".join(_all(results, MARKDOWN)).lstrip("\n") + "\n"


def machine_as_markdown(results: Results) -> str:
    return "\n".join(_machine(results, MARKDOWN))


def tables_as_markdown(results: Results) -> str:
    """The tables of all benchmarks, and the peers that are missing in them."""
    lines = [*_tables(results, DEEPER), *_absent(results, DEEPER)]
    return "\n".join(lines).strip("\n")


def goals_as_markdown(results: Results) -> str:
    return "\n".join(_goals(results, MARKDOWN)) or "None of the goals was measured."


def run(results: Results) -> str:
    """What kind of run it was."""
    kind = "a quick run" if results.quick else "a full run"
    return f"This was {kind}, of {results.seconds:.0f} s."


def _all(results: Results, style: Style) -> list[str]:
    lines = [style.heading("Machine and versions"), *_machine(results, style)]
    lines += [*_tables(results, style), *_absent(results, style)]
    if goals := _goals(results, style):
        lines += [style.heading("Goals"), *goals]
    return [*lines, style.heading("Reading this"), *READING.splitlines(), run(results)]


def _machine(results: Results, style: Style) -> list[str]:
    lines = [style.table([["", ""], *([key, value] for key, value in results.machine.items())])]
    if results.versions:
        packages = [[key, value] for key, value in results.versions.items()]
        lines += ["", style.table([["package", "version"], *packages])]
    return lines


def _tables(results: Results, style: Style) -> list[str]:
    # One that nobody took part in has nothing to say.
    shown = [table for table in results.tables if table.rows]
    return [line for one in shown for line in (style.heading(_title(one, results)), style.table(_cells(one)))]


def _absent(results: Results, style: Style) -> list[str]:
    if not results.absent:
        return []
    rows = [["peer", "reason"], *([name, reason] for name, reason in results.absent.items())]
    return [style.heading("Peers that are missing, or went missing"), style.table(rows)]


def _goals(results: Results, style: Style) -> list[str]:
    found = verdicts(results)
    rows = [[v.what, v.wanted, *_ratio(v.ratio), "met" if v.met else "missed", v.note] for v in found]
    return (
        [style.table([["goal", "wanted", "measured", "lowest", "highest", "", "note"], *rows])]
        if rows
        else []
    )


def _title(table: Table, results: Results) -> str:
    short = f" of {results.rounds_asked}" if table.rounds < results.rounds_asked else ""
    plural = "round" if table.rounds == 1 and not short else "rounds"
    return f"{table.benchmark.title} ({table.rounds}{short} {plural})"


def _cells(table: Table) -> Cells:
    keys, figures = zip(*table.benchmark.shown, strict=True)
    rows = [["peer", *figures, "iris / peer", "lowest", "highest", "calls"]]
    for row in table.rows:
        if row.error and not row.samples:
            rows.append([row.label, *[MISSING] * (len(figures) + 3), _reason(row)])
            continue
        values = [row.median(key) for key in keys]
        ratio = ["1", "", ""] if row is table.reference else _ratio(table.ratio(row))
        rows.append([row.label, *map(_number, values), *ratio, _calls(row)])
    return rows


def _reason(row: Row) -> str:
    return row.error if row.error.startswith(LEFT_OUT) else f"failed: {row.error}"


def _calls(row: Row) -> str:
    calls = f"{sum(int(sample['calls']) for sample in row.samples.values()):,}"
    return f"{calls}; then failed: {row.error}" if row.error else calls


def _ratio(ratio: Ratio | None) -> list[str]:
    if ratio is None:
        return [MISSING] * 3
    return [_number(ratio.median), _number(ratio.lowest), _number(ratio.highest)]


def _number(value: float | None) -> str:
    """Three significant digits, and thousands apart."""
    if value is None:
        return MISSING
    if value >= 1000:
        digits = len(str(int(value))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _text_table(cells: Cells) -> str:
    if not any(cells[0]):
        cells = cells[1:]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = []
    for row in cells:
        # The first column reads from the left, and so does the last, which may hold words.
        aligned = [
            cell.ljust(width) if column in {0, len(row) - 1} else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)


def _markdown_table(cells: Cells) -> str:
    head, *rows = [[cell.replace("|", "\\|") for cell in row] for row in cells]
    aligned = ["---", *("---:" for _ in head[1:-1]), "---"]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, aligned, *rows))


TEXT = Style(heading=lambda title: f"\n{title}\n{'=' * len(title)}", table=_text_table)
MARKDOWN = Style(heading=lambda title: f"\n## {title}\n", table=_markdown_table)
DEEPER = Style(heading=lambda title: f"\n### {title}\n", table=_markdown_table)
