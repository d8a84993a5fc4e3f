"""PoolView: a pool as a person sees it: counts and rates, a worker a row, the latest failures."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from iris_actor.work.pool.monitor.pool_monitor import PoolSnapshot
    from iris_actor.work.pool.monitor.pool_status import Failure, WorkerInfo

WINDOW = 60.0
"""Seconds over which the steady rate is taken, and with it the time that is left."""
MOST_FAILURES = 5
"""Failures that are shown."""

_STATES = {
    "failed": "bold red",
    "pending": "yellow",
    "busy": "green",
    "ending": "magenta",
    "idle": "dim",
}
"""Style of each state, in the order in which they are shown where there is no room for all workers."""
_COLUMNS = ("worker", "state", "runs", "for", "done", "failed", "restarts", "process")
_FIRST_TO_GO = ("restarts", "process", "failed", "done", "for")
"""What a narrow terminal does without, in this order."""
_RIGHT = frozenset({"for", "done", "failed", "restarts"})
_LEAST_TASK = 12
"""Characters of a function's name that are worth more than another column."""
_GAP = 2


class PoolView:
    """What is known of one pool, from one snapshot to the next. Not thread-safe.

    Args:
        first: what the driver told first.

    Attributes:
        trouble: why the last look showed nothing; empty when it did.
    """

    def __init__(self, first: PoolSnapshot) -> None:
        self.trouble = ""
        self._samples: deque[tuple[float, int]] = deque()  # (age of the pool, tasks ended by then)
        self.add(first)

    def add(self, snapshot: PoolSnapshot) -> None:
        """Take what the driver just told."""
        tasks = snapshot.status.tasks
        self.trouble = ""
        self._snapshot = snapshot
        self._samples.append((snapshot.age, tasks.done + tasks.failed))
        while len(self._samples) > 2 and snapshot.age - self._samples[0][0] > WINDOW:
            self._samples.popleft()

    def frame(self, width: int, height: int | None = None) -> Group:
        """All of it, for a terminal of `width` columns and, where that matters, `height` lines."""
        from rich.console import Group
        from rich.text import Text

        snapshot = self._snapshot
        status = snapshot.status
        head = self._head(snapshot)
        rows, most_failures = len(status.worker_infos), MOST_FAILURES
        if height is not None:
            room = height - len(head) - 2
            most_failures = min(most_failures, max(room - rows, room // 3) - 2)
        failures = _failures(status.failures, most_failures)
        if height is not None and rows > room - len(failures):
            rows = max(1, room - len(failures) - 1)
        table, left_out = _table(status.worker_infos, width, rows)
        more = [_line((f"and {left_out} more", "dim"))] if left_out else []
        return Group(*head, Text(), table, *more, *failures)

    # --- the lines above the table --------------------------------------------------------------------

    def _head(self, snapshot: PoolSnapshot) -> list[Text]:
        status, tasks, workers = snapshot.status, snapshot.status.tasks, snapshot.status.workers
        least, most = status.bounds
        bounds = f"  of {most}" if least == most else f"  of {least} to {most}"
        lines = [
            _line(
                (status.name, "bold cyan"),
                (f"  {snapshot.host} pid {snapshot.pid}  up {duration(snapshot.age)}", "dim"),
            ),
            _line(
                f"tasks    {tasks.done} done  ",
                (f"{tasks.failed} failed  ", "red" if tasks.failed else ""),
                f"{tasks.running} running  {tasks.queued} queued",
            ),
            _line(
                f"workers  {workers.busy} busy  ",
                (f"{workers.failed} failed  ", "red" if workers.failed else ""),
                f"{workers.idle} idle  {workers.pending} pending",
                (bounds, "dim"),
            ),
            *self._rates(snapshot),
        ]
        if status.broken is not None:
            lines.append(_line((f"broken   {status.broken}", "bold red")))
        if self.trouble:
            lines.append(_line((self.trouble, "bold yellow")))
        return lines

    def _rates(self, snapshot: PoolSnapshot) -> list[Text]:
        since, before = self._samples[0] if len(self._samples) > 1 else (0.0, 0)
        age, ended = self._samples[-1]
        steady = _rate(ended - before, age - since)
        if len(self._samples) == 1:
            lines = [_line(f"rate     {_number(steady)}/s since it began")]
        else:
            last_age, last_ended = self._samples[-2]
            now = _rate(ended - last_ended, age - last_age)
            lines = [
                _line(f"rate     {_number(now)}/s now  {_number(steady)}/s over {duration(age - since)}")
            ]
        left = snapshot.status.tasks.queued + snapshot.status.tasks.running
        if left and steady and snapshot.status.broken is None:
            lines.append(_line(f"left     about {duration(left / steady)}"))
        return lines


def duration(seconds: float) -> str:
    """A length of time in a few characters: ``0.4s``, ``12s``, ``3m05s``, ``1h02m``, ``3d04h``."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f}s"
    whole = round(seconds)
    for size, unit, part, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // part:02}{smaller}"
    return f"{whole}s"


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0


def _number(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 99.5 or rate == 0 else f"{rate:.3g}"


def _line(*parts: str | tuple[str, str]) -> Text:
    """One line, cut off where the terminal ends. Nothing in it moves the cursor or changes colours."""
    from rich.text import Text

    line = Text(no_wrap=True, overflow="ellipsis", end="\n")
    for part in parts:
        text, style = (part, "") if isinstance(part, str) else part
        line.append(_plain(text), style=style)
    return line


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _failures(failures: tuple[Failure, ...], most: int) -> list[Text]:
    if not failures or most < 1:
        return []
    shown = [_line(), _line(("latest failures", "bold"))]
    for failure in failures[-most:]:
        where = " ".join(part for part in (failure.worker, failure.task) if part)
        clock = time.strftime("%H:%M:%S", time.localtime(failure.at))
        shown.append(_line((f"{clock}  ", "dim"), f"{where}  " if where else "", (failure.text, "red")))
    return shown


# --- the table ----------------------------------------------------------------------------------------


def _cells(info: WorkerInfo) -> dict[str, str]:
    task = _plain(info.task or (f"waits: {info.waiting_for}" if info.waiting_for else ""))
    if info.task is not None and info.tasks > 1:
        task += f" (+{info.tasks - 1})"
    return {
        "worker": info.name,
        "state": info.state.value,
        "runs": task,
        "for": duration(info.running_for) if info.task is not None else "",
        "done": str(info.done),
        "failed": str(info.failed),
        "restarts": str(info.restarts),
        "process": f"{info.host}:{info.pid}" if info.pid else "",
    }


def _table(infos: Iterable[WorkerInfo], width: int, most_rows: int) -> tuple[Table, int]:
    """The workers, and how many of them found no place in `most_rows` rows."""
    from rich.table import Table
    from rich.text import Text

    rows = [_cells(info) for info in infos]
    columns = _fitting(rows, width)
    left_out = max(0, len(rows) - most_rows)
    if left_out:
        order = list(_STATES)
        rows.sort(key=lambda cells: order.index(cells["state"]))
        rows = rows[:most_rows]
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in _RIGHT else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for cells in rows:
        styles = {"state": _STATES[cells["state"]], "failed": "red" if cells["failed"] != "0" else ""}
        table.add_row(*(Text(cells[column], style=styles.get(column, "")) for column in columns))
    return table, left_out


def _fitting(rows: list[dict[str, str]], width: int) -> list[str]:
    """The columns for which there is room."""
    needs = {column: max(len(column), *(len(cells[column]) for cells in rows), 0) for column in _COLUMNS}
    needs["runs"] = min(needs["runs"], _LEAST_TASK)
    columns = list(_COLUMNS)
    for column in _FIRST_TO_GO:
        if sum(needs[each] + _GAP for each in columns) - _GAP <= width:
            break
        columns.remove(column)
    return columns
