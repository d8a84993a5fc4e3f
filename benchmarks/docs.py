"""docs/performance.md, its plots and the JSON that both can be made of again."""

from __future__ import annotations

import importlib.util
import string
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import report

if TYPE_CHECKING:
    from benchmarks.results import Results

TEMPLATE = Path(__file__).with_name("performance.template.md")


def prepare(folder: Path) -> None:
    """Tell now, and not after half an hour, that nothing can be written."""
    if importlib.util.find_spec("matplotlib") is None:
        raise SystemExit("--docs draws plots and needs matplotlib: pip install matplotlib")
    try:
        (folder / "plots").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"--docs {folder}: {error}") from error


def write(results: Results, folder: Path) -> None:
    """Write performance.md, performance.json and plots/*.png below `folder`, which is prepared."""
    from benchmarks import plots

    drawn = plots.draw(results, folder / "plots")
    text = string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        machine=report.machine_as_markdown(results),
        goals=report.goals_as_markdown(results),
        plots="\n\n".join(f"![{title}](plots/{file})" for file, title in drawn.items()),
        tables=report.tables_as_markdown(results),
        reading=report.READING.replace("\n", "\n\n"),
        run=report.run(results),
    )
    (folder / "performance.md").write_text(text, encoding="utf-8")
    (folder / "performance.json").write_text(results.as_text_of_json(), encoding="utf-8")
