"""Report: the sweep's results as tables."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table

from examples.sweep.driver import Sweep


def print_report(sweep: Sweep, console: Console, *, top: int = 10) -> None:
    """Print the best configurations, each family's best, and what became of the killed worker's task."""
    table = Table(title=f"The best {min(top, len(sweep.outcomes))} of {len(sweep.outcomes)} configurations")
    for heading, justify in (("", "right"), ("family", "left"), ("hyperparameters", "left")):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    for heading in ("accuracy", "seconds", "worker"):
        table.add_column(heading, justify="right")
    for place, outcome in enumerate(sweep.best[:top], start=1):
        accuracy = f"{outcome.accuracy:.4f} ± {outcome.spread:.4f}"
        again = f" (attempt {outcome.attempt})" if outcome.attempt > 1 else ""
        row = (outcome.config.family, outcome.config.settings, accuracy, f"{outcome.seconds:.2f}")
        table.add_row(str(place), *row, outcome.worker + again, style="bold green" if place == 1 else None)
    console.print(table)
    console.print(_families(sweep))
    _print_kill(sweep, console)
    work = sum(outcome.seconds for outcome in sweep.outcomes)
    console.print(f"{work:.0f} s of work in {sweep.seconds:.0f} s; tasks of each process: {_shares(sweep)}")


def _families(sweep: Sweep) -> Table:
    table = Table(title="The best of each family")
    for heading in ("family", "hyperparameters"):
        table.add_column(heading)
    for heading in ("accuracy", "tried"):
        table.add_column(heading, justify="right")
    tried = Counter(outcome.config.family for outcome in sweep.outcomes)
    shown = set()
    for outcome in sweep.best:
        family = outcome.config.family
        if family not in shown:
            shown.add(family)
            table.add_row(family, outcome.config.settings, f"{outcome.accuracy:.4f}", str(tried[family]))
    return table


def _print_kill(sweep: Sweep, console: Console) -> None:
    if sweep.kill is None:
        return
    victim = sweep.kill.victim
    (outcome,) = (o for o in sweep.outcomes if o.config.index == victim.config)
    table = Table(title="What became of the killed worker's task")
    for heading in ("configuration", "attempt", "worker", "pid", "what happened"):
        table.add_column(heading)
    for attempt in (a for a in sweep.attempts if a.config == victim.config):
        until = "" if attempt.ended is None else f" after {attempt.ended - attempt.started:.2f} s"
        what = f"[red]killed{until}[/]" if attempt.lost else f"[green]{outcome.accuracy:.4f}{until}[/]"
        name = str(outcome.config) if attempt.number == 1 else ""
        table.add_row(name, str(attempt.number), attempt.worker, str(attempt.pid), what)
    console.print(table)


def _shares(sweep: Sweep) -> str:
    shares = Counter((outcome.worker, outcome.pid) for outcome in sweep.outcomes)
    return ", ".join(f"{worker} (pid {pid}) {count}" for (worker, pid), count in sorted(shares.items()))
