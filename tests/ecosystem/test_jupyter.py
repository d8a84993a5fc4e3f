"""A WorkerPool in a notebook: a real kernel runs the cells."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbclient import NotebookClient

from tests.support.waiting import until, until_async

START = """
import os, time
from pathlib import Path
from iris_actor import WorkerPool, call_context
pool = WorkerPool(num_workers=2)
pool.wait_for_workers(timeout=30)
print(os.getpid())
"""

POINT = """
class Point:
    def __init__(self, x): self.x = x
    def size(self): return {}
"""


class Notebook:
    """Cells that are run one after the other, as somebody would type them."""

    def __init__(self) -> None:
        self._content = nbformat.v4.new_notebook()
        self.client = NotebookClient(self._content, timeout=50, kernel_name="python3", allow_errors=True)
        self.kernel = 0

    async def run(self, source: str) -> Any:
        """Run `source` in a new cell; its outputs."""
        cell = nbformat.v4.new_code_cell(source)
        self._content.cells.append(cell)
        await self.client.async_execute_cell(cell, len(self._content.cells) - 1)
        return cell.outputs

    async def printed(self, source: str) -> str:
        """What a new cell with `source` prints; it must not raise."""
        outputs = await self.run(source)
        errors = [output.traceback for output in outputs if output.output_type == "error"]
        assert not errors, "\n".join(errors[0])
        return "".join(output.text for output in outputs if output.output_type == "stream")

    def processes(self) -> list[psutil.Process]:
        """The kernel and all that it started."""
        kernel = psutil.Process(self.kernel)
        return [kernel, *kernel.children(recursive=True)]


@asynccontextmanager
async def running() -> AsyncIterator[Notebook]:
    notebook = Notebook()
    async with notebook.client.async_setup_kernel():
        notebook.kernel = int(await notebook.printed(START))
        yield notebook


@pytest.fixture(autouse=True)
def _nobodys_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the kernel from what the person who runs the tests has set up for notebooks."""
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))


def gone(processes: list[psutil.Process]) -> bool:
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


async def test_functions_and_classes_of_the_notebook_may_be_used_and_changed():
    async with running() as notebook:
        await notebook.run("def shift(x): return x + offset")
        await notebook.run("offset = 1")
        assert await notebook.printed("print(list(pool.map(shift, range(3))))") == "[1, 2, 3]\n"
        await notebook.run("offset = 10")
        assert await notebook.printed("print(list(pool.map(shift, range(3))))") == "[10, 11, 12]\n"
        await notebook.run("def shift(x): return x - offset")
        assert await notebook.printed("print(list(pool.map(shift, range(3))))") == "[-10, -9, -8]\n"

        await notebook.run(POINT.format("self.x"))
        same = "print([(type(p) is Point, p.size()) for p in pool.map(Point, [3, 4])])"
        assert await notebook.printed(same) == "[(True, 3), (True, 4)]\n"
        await notebook.run(POINT.format("-self.x"))
        sizes = "points = list(map(Point, [3, 4])); print(list(pool.map(Point.size, points)))"
        assert await notebook.printed(sizes) == "[-3, -4]\n"
        within = "print(*pool.map(lambda p: p.size(), points), *pool.map(lambda x: Point(x).size(), [5]))"
        assert await notebook.printed(within) == "-3 -4 -5\n"


async def test_a_workers_traceback_shows_the_line_of_the_cell_and_slots_and_caches_work():
    async with running() as notebook:
        await notebook.run("def ratio(a, b):\n    return a / b  # of the cell")
        text = await notebook.printed(
            "try: pool.submit(ratio, 1, 0).result()\nexcept ArithmeticError as error: print(error.__cause__)"
        )
        assert "line 2, in ratio" in text
        assert "return a / b  # of the cell" in text
        await notebook.run(
            "import dataclasses, functools\n"
            "@dataclasses.dataclass(slots=True)\n"
            "class Score:\n    value: int\n"
            "@functools.cache\n"
            "def score(n): return Score(n)"
        )
        same = "print([(type(s) is Score, s) for s in pool.map(score, [1, 2])])"
        assert await notebook.printed(same) == "[(True, Score(value=1)), (True, Score(value=2))]\n"


async def test_what_workers_print_appears_below_the_cell_that_runs():
    async with running() as notebook:
        await notebook.run("pool.submit(abs, 1).result()")
        # The shutdown, because it waits until all output is passed on.
        text = await notebook.printed("pool.submit(print, 'hello from a worker').result(); pool.shutdown()")
    assert re.fullmatch(r"\[worker-\d\] hello from a worker\n", text)


async def test_interrupting_a_cell_that_waits_leaves_a_pool_that_works(tmp_path: Path):
    flag = tmp_path / "flag"
    async with running() as notebook:
        await notebook.run(
            "def hang(path):\n"
            "    Path(path).touch()\n"
            "    while not call_context().cancelled: time.sleep(0.01)"
        )
        waiting = asyncio.create_task(notebook.run(f"list(pool.map(hang, [{str(flag)!r}]))"))
        await until_async(flag.exists)
        os.kill(notebook.kernel, signal.SIGINT)
        outputs = await waiting
        assert [output.ename for output in outputs if output.output_type == "error"] == ["KeyboardInterrupt"]
        assert await notebook.printed("print(list(pool.map(abs, [-1, -2])))") == "[1, 2]\n"
        idle = "while pool.status().workers.idle < 2: time.sleep(0.01)"
        assert await notebook.printed(idle) == ""


async def test_when_the_kernel_is_shut_down_nothing_is_left():
    async with running() as notebook:
        processes = notebook.processes()
        assert len(processes) >= 3
    until(lambda: gone(processes))


async def test_when_the_kernel_is_killed_nothing_is_left():
    async with running() as notebook:
        processes = notebook.processes()
        os.kill(notebook.kernel, signal.SIGKILL)
        until(lambda: gone(processes))
