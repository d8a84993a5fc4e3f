"""Results as text for a terminal, and as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.goals import verdicts

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.results import Ratio, Results, Row, Table

Cells = list[list[str]]

MISSING = "-"

READING = """\
Every figure is the median of its rounds. iris / peer is the median of the rounds' own ratios, taken against \
iris's first row, with their lowest and highest: below 1, iris is faster in latency; above 1, in all else.
A batch is one message with all the calls in it and one reply with all the results: none of its calls can \
start before the last is made, come back before the last is done, or fail, time out or be cancelled by itself.
tcp, grpc-unary and grpc-stream carry bytes and call nothing: they are floors, not frameworks.
Ray's echo on one host goes through its shared memory, and its arrays are read-only."""


def as_text(results: Results) -> str:
    return "\n".join(
        _lines(results, heading=lambda title: f"\n{title}\n{'=' * len(title)}", table=_text_table)
    )


def as_markdown(results: Results) -> str:
    return "\n".join(_lines(results, heading=lambda title: f"\n## {title}\n", table=_markdown_table)) + "\n"


def _lines(results: Results, heading: Callable[[str], str], table: Callable[[Cells], str]) -> list[str]:
    lines = [heading("Machine and versions").lstrip("\n")]
    lines.append(table([["", ""], *([key, value] for key, value in results.machine.items())]))
    if results.versions:
        packages = [[key, value] for key, value in results.versions.items()]
        lines += ["", table([["package", "version"], *packages])]
    for measured in results.tables:
        lines += [heading(_title(measured, results)), table(_cells(measured))]
    if results.absent:
        lines += [heading("Peers that are missing, or went missing")]
        lines += [table([["peer", "reason"], *([name, reason] for name, reason in results.absent.items())])]
    if found := verdicts(results):
        rows = [[v.what, v.wanted, *_ratio(v.ratio), "met" if v.met else "missed", v.note] for v in found]
        lines += [
            heading("Goals"),
            table([["goal", "wanted", "measured", "lowest", "highest", "", "note"], *rows]),
        ]
    lines += [heading("Reading this")]
    lines += READING.splitlines()
    kind = "a quick run" if results.quick else "a full run"
    lines += [f"This was {kind}, of {results.seconds:.0f} s."]
    return lines


def _title(table: Table, results: Results) -> str:
    short = f" of {results.rounds_asked}" if table.rounds < results.rounds_asked else ""
    return f"{table.benchmark.title} ({table.rounds}{short} rounds)"


def _cells(table: Table) -> Cells:
    latency = table.benchmark.figure == "p50"
    figures = ["p50 µs", "p99 µs"] if latency else [table.benchmark.unit]
    rows = [["peer", *figures, "iris / peer", "lowest", "highest", "calls"]]
    for row in table.rows:
        if row.error and not row.samples:
            rows.append([row.label, *[MISSING] * (len(figures) + 3), f"failed: {row.error}"])
            continue
        values = [row.median(key) for key in (("p50", "p99") if latency else (table.benchmark.figure,))]
        ratio = ["1", "", ""] if row is table.reference else _ratio(table.ratio(row))
        rows.append([row.label, *map(_number, values), *ratio, _calls(row)])
    return rows


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
