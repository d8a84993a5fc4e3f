"""Plot: the sweep in a picture: how good each family is, and what each worker did when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from examples.sweep.driver import Sweep
from examples.sweep.grid import GRIDS

COLOURS = dict(zip(GRIDS, ("#4269d0", "#3ca951", "#efb118", "#a463f2", "#ff725c"), strict=True))
_INK, _FAINT, _RED = "#333333", "#dddddd", "#c1121f"


def save_plot(sweep: Sweep, path: Path) -> None:
    """Draw `sweep` into the PNG file `path`, whose folder is made if need be."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    style: Any = {
        "font.size": 10,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _FAINT,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
    }
    with plt.rc_context(style):
        figure, (left, right) = plt.subplots(
            1,
            2,
            figsize=(14, 5.6),
            width_ratios=(1, 1.25),
            layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12),
        )
        _draw_families(left, sweep)
        _draw_timeline(right, sweep)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)
        plt.close(figure)


def _draw_families(axes: Any, sweep: Sweep) -> None:
    """A row for each family, a point for each configuration; the best family on top."""
    by_family: dict[str, list[float]] = {}
    for outcome in sweep.best:
        by_family.setdefault(outcome.config.family, []).append(outcome.accuracy)
    families = list(by_family)[::-1]
    for row, family in enumerate(families):
        accuracies = by_family[family]
        offsets = [0.09 * ((index * 7) % 5 - 2) for index in range(len(accuracies))]
        heights = [row + offset for offset in offsets]
        axes.scatter(accuracies, heights, s=34, color=COLOURS[family], alpha=0.75, linewidths=0)
        axes.annotate(
            f"{max(accuracies):.3f}",
            (max(accuracies), row + 0.3),
            ha="center",
            va="bottom",
            fontsize=9,
            fontweight="bold",
            color=COLOURS[family],
        )
    axes.set_yticks(range(len(families)), families)
    axes.set_ylim(-0.6, len(families) - 0.3)
    axes.set_xlim(right=1.004)
    axes.tick_params(length=0)
    axes.grid(axis="x", color=_FAINT)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("accuracy, cross-validated (one point a configuration)")
    axes.set_title(f"{len(sweep.outcomes)} configurations on scikit-learn's digits")


def _draw_timeline(axes: Any, sweep: Sweep) -> None:
    """A row for each worker process, a bar for each attempt."""
    families = {config.index: config.family for config in sweep.configs}
    zero = min(attempt.started for attempt in sweep.attempts)
    processes = sorted({(a.worker, a.pid) for a in sweep.attempts}, key=lambda p: (p[0], _first(sweep, p[1])))
    rows = {pid: len(processes) - 1 - place for place, (_, pid) in enumerate(processes)}
    for attempt in sweep.attempts:
        ended = attempt.ended if attempt.ended is not None else attempt.started
        axes.barh(
            rows[attempt.pid],
            ended - attempt.started,
            left=attempt.started - zero,
            height=0.62,
            color=COLOURS[families[attempt.config]],
            edgecolor="white",
            linewidth=0.6,
            alpha=0.4 if attempt.lost else 1.0,
            hatch="////" if attempt.lost else None,
        )
    _mark_kill(axes, sweep, rows, zero)
    axes.set_yticks(list(rows.values()), [f"{worker}\npid {pid}" for worker, pid in processes])
    axes.set_ylim(-0.8, len(rows) - 0.1)
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("seconds since the first task")
    axes.set_title("Who ran what, and when")
    used = [family for family in GRIDS if family in set(families.values())]
    swatches = [axes.barh(0, 0, color=COLOURS[family]) for family in used]
    axes.legend(
        swatches, used, loc="lower center", bbox_to_anchor=(0.5, -0.22), ncols=5, frameon=False, fontsize=9
    )


def _first(sweep: Sweep, pid: int) -> float:
    return min(attempt.started for attempt in sweep.attempts if attempt.pid == pid)


def _mark_kill(axes: Any, sweep: Sweep, rows: dict[int, int], zero: float) -> None:
    """A cross where the worker was killed, and an arrow to its task, framed, where that was run again."""
    if sweep.kill is None:
        return
    victim = sweep.kill.victim
    where = (sweep.kill.at - zero, rows[victim.pid])
    axes.plot(*where, marker="X", markersize=13, color=_RED, markeredgecolor="white", zorder=5)
    axes.annotate(
        "SIGKILL",
        where,
        xytext=(10, 0),
        textcoords="offset points",
        va="center",
        color=_RED,
        weight="bold",
    )
    again = [a for a in sweep.attempts if a.config == victim.config and a.accuracy is not None]
    for attempt in again:
        ended = attempt.ended if attempt.ended is not None else attempt.started
        middle = (attempt.started + ended) / 2 - zero
        axes.barh(
            rows[attempt.pid],
            ended - attempt.started,
            left=attempt.started - zero,
            height=0.62,
            fill=False,
            edgecolor=_RED,
            linewidth=2,
            zorder=4,
        )
        axes.annotate(
            "",
            (middle, rows[attempt.pid] + (0.33 if rows[attempt.pid] < where[1] else -0.33)),
            xytext=where,
            arrowprops={
                "arrowstyle": "-|>",
                "color": _RED,
                "connectionstyle": "arc3,rad=-0.15",
                "lw": 1.6,
            },
            zorder=4,
        )
