"""The command line of the sweep."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from examples.sweep.driver import run_sweep
from examples.sweep.grid import grid_size, make_grid
from examples.sweep.plot import save_plot
from examples.sweep.report import print_report


def main() -> None:
    """Run the sweep, show what came of it, and exit with 1 when anything is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.sweep",
        description="Hyperparameters of five model families on scikit-learn's digits, on a pool of workers of"
        " which one is killed on the way.",
    )
    most = grid_size()
    parser.add_argument(
        "--configs", type=int, default=most, help=f"how many to try (1 to {most}, default all)"
    )
    parser.add_argument("--workers", type=int, default=3, help="worker processes (default 3)")
    parser.add_argument("--no-kill", action="store_true", help="let all workers live")
    parser.add_argument("--out", type=Path, default=Path("out/sweep.png"), help="the picture (%(default)s)")
    options = parser.parse_args()
    if not 1 <= options.configs <= most:
        parser.error(f"--configs must be from 1 to {most}")
    if options.workers < 1:
        parser.error("--workers must be 1 or more")

    console = Console(stderr=True)
    configs = make_grid(options.configs)
    try:
        sweep = run_sweep(configs, workers=options.workers, kill=not options.no_kill, console=console)
    except KeyboardInterrupt:
        console.print("interrupted; all processes have ended")
        sys.exit(130)
    report = Console() if sys.stdout.isatty() else Console(width=120)
    print_report(sweep, report)
    save_plot(sweep, options.out)
    report.print(f"the picture is in {options.out}")

    problems = sweep.problems()
    if not options.no_kill and sweep.kill is None:
        problems.append("no worker was caught while it ran a task; more --configs give it time")
    for problem in problems:
        console.print(f"[bold red]wrong:[/] {problem}")
    if problems:
        sys.exit(1)
    report.print(f"[bold]all {len(sweep.outcomes)} results arrived[/]")


if __name__ == "__main__":
    main()
