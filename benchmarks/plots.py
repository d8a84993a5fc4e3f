"""The plots of docs/performance.md: what was measured against a size, a line for each peer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.plan import FLOORS
from benchmarks.results import REFERENCE

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from benchmarks.results import Results, Table


@dataclass(frozen=True, slots=True)
class Plot:
    """One file: the figure of all benchmarks of a group against their sizes."""

    group: str
    file: str
    title: str
    x: str
    y: str


PLOTS = (
    Plot("throughput", "throughput.png", "Calls a second by number in flight", "calls in flight", "calls/s"),
    Plot("echo", "echo-numpy.png", "Echoes a second of a numpy array by size", "size", "echoes/s"),
    Plot("bytes", "echo-bytes.png", "Echoes a second of a bytes object by size", "size", "echoes/s"),
)

#: Of the peers; red and black are taken.
COLOURS = (
    "tab:blue",
    "tab:orange",
    "tab:green",
    "tab:purple",
    "tab:brown",
    "tab:pink",
    "tab:olive",
    "tab:cyan",
)
Line = list[tuple[int, float]]


def draw(results: Results, folder: Path) -> dict[str, str]:
    """Write a file for each plot that something was measured for; its name and its title."""
    drawn = {}
    for plot in PLOTS:
        # A logarithmic axis has no place for 0 bytes.
        tables = [t for t in results.tables if t.benchmark.group == plot.group and t.benchmark.size]
        lines = {peer: line for peer in _peers(tables) if (line := _line(tables, peer))[1]}
        if lines:
            sizes = {t.benchmark.size: t.benchmark.name.partition("-")[2] for t in tables}
            _draw(plot, lines, sizes, folder / plot.file)
            drawn[plot.file] = plot.title
    return drawn


def _peers(tables: list[Table]) -> list[str]:
    return list(dict.fromkeys(row.peer for table in tables for row in table.rows))


def _line(tables: list[Table], peer: str) -> tuple[str, Line]:
    """The label and the points of that way of a peer which is its best at most sizes; of iris, its first."""
    ways: dict[str, Line] = {}
    best: dict[str, int] = {}
    for table in tables:
        figure = table.benchmark.figure
        rates = {row.label: rate for row in table.rows if row.peer == peer and (rate := row.median(figure))}
        for label, rate in rates.items():
            ways.setdefault(label, []).append((table.benchmark.size, rate))
        if rates:
            label = max(rates, key=lambda one: rates[one])
            best[label] = best.get(label, 0) + 1
    if not ways:
        return peer, []
    chosen = next(iter(ways)) if peer == REFERENCE else max(best, key=lambda label: best[label])
    return chosen, ways[chosen]


def _draw(plot: Plot, lines: dict[str, tuple[str, Line]], sizes: dict[int, str], file: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 5.5))
    axes.set_prop_cycle(color=COLOURS)
    for peer, (label, points) in lines.items():
        xs, ys = zip(*sorted(points), strict=True)
        axes.plot(xs, ys, label=label, **_style(peer))
    axes.set_xscale("log")
    axes.set_xticks(list(sizes), list(sizes.values()))
    axes.minorticks_off()
    axes.set_yscale("log")
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    axes.set_title(plot.title)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5), title="dashed: floors")
    figure.savefig(file, dpi=110, bbox_inches="tight")
    plt.close(figure)


def _style(peer: str) -> dict[str, Any]:
    if peer in FLOORS:
        return {"color": "black" if peer == FLOORS[0] else "dimgray", "linestyle": "--", "marker": "x"}
    if peer == REFERENCE:
        return {"color": "crimson", "linewidth": 3, "marker": "o", "zorder": 5}
    return {"linewidth": 1.2, "marker": ".", "alpha": 0.9}
