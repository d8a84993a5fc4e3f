"""The guides and the README are programs: each runs in a process of its own and prints what is shown with it.

The python blocks of a section are one program, in their order. One whose first line is ``# name.py`` is a
module beside it. What the program prints on stdout and stderr is what the section shows: in comments behind
``print(...)``, and in text blocks, where ``...`` stands for anything within a line. What workers print has no
order among the driver's own lines, so it is compared apart. Progress bars are not compared.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from iris_actor import ResourceSpec, TaskFuture, WorkerPool, WorkerPoolConfig
from tests.support.processes import ROOT

GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "docs" / "design.md",
    *sorted((ROOT / "docs" / "design").glob("*.md")),
    *GUIDES,
]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MODULE = re.compile(r"# (\w+\.py)\n")
_SHOWN = re.compile(r"^ *print\(.*\)  # (.*)$", re.MULTILINE)
_BAR = re.compile(r".*\d+%\|.*\| \d+/\d+ \[.*")
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]*)(#[^)\s]*)?\)")

Run = Callable[["Program", Path], str]


@dataclass
class Program:
    """What is to be run for one section: a main program, modules beside it, and the lines that it prints."""

    name: str
    source: str = ""
    modules: dict[str, str] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)

    def add(self, kind: str, text: str) -> None:
        """Take in a block."""
        module = _MODULE.match(text)
        if kind == "text":
            self.output += text.splitlines()
        elif kind == "python" and module is not None:
            self.modules[module.group(1)] = text
        elif kind == "python":
            self.source += text
            self.output += _SHOWN.findall(text)

    def __str__(self) -> str:
        return self.name


def programs_of_guide(path: Path) -> Iterator[Program]:
    """The sections with something to run."""
    for section in re.split(r"^## ", path.read_text(), flags=re.MULTILINE):
        program = Program(f"{path.stem}: {section.partition(chr(10))[0].strip('# ')}")
        for kind, text in _FENCE.findall(section):
            program.add(kind, text)
        if program.source:
            yield program


def programs_of_readme() -> Iterator[Program]:
    """The blocks about pools, each for itself."""
    for number, (kind, text) in enumerate(_FENCE.findall((ROOT / "README.md").read_text())):
        if kind == "python" and "WorkerPool" in text:
            yield Program(f"README: block {number}", text, output=_SHOWN.findall(text))


PROGRAMS = [*programs_of_readme(), *(program for guide in GUIDES for program in programs_of_guide(guide))]


@pytest.fixture
def run(environment: dict[str, str]) -> Iterator[Run]:
    """Runs a program in a folder; returns what it wrote to both streams. Nothing of it is left afterwards."""
    plain = {key: text for key, text in environment.items() if not key.endswith("_NUM_THREADS")}
    started: list[subprocess.Popen[str]] = []

    def run_in(program: Program, folder: Path) -> str:
        for name, text in program.modules.items():
            (folder / name).write_text(text)
        (folder / "driver.py").write_text(program.source)
        process = subprocess.Popen(
            [sys.executable, "driver.py"],
            cwd=folder,
            env=plain,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        started.append(process)
        output, _ = process.communicate(timeout=110)
        assert process.returncode == 0, output
        return output

    yield run_in
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def as_shown(printed: list[str], shown: list[str]) -> list[str]:
    """`printed`, with each line replaced by the shown one that it matches."""
    return [
        expected if re.fullmatch(re.escape(expected).replace(r"\.\.\.", ".*"), line) else line
        for line, expected in zip(printed, shown, strict=False)
    ] + printed[len(shown) :]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_a_program_of_the_documents_prints_what_they_show(program: Program, run: Run, tmp_path: Path):
    printed = [line for line in run(program, tmp_path).splitlines() if line and not _BAR.fullmatch(line)]
    for of_workers in (False, True):
        shown = [line for line in program.output if line.startswith("[worker-") is of_workers]
        lines = [line for line in printed if line.startswith("[worker-") is of_workers]
        assert as_shown(lines, shown) == shown


def keywords_of(function: Callable[..., object]) -> set[str]:
    return set(inspect.signature(function).parameters)


KEYWORDS = {
    "WorkerPool": {"max_workers", *(each.name for each in dataclasses.fields(WorkerPoolConfig))},
    "ResourceSpec": keywords_of(ResourceSpec),
    "pool.options": keywords_of(WorkerPool.options),
    "pool.map": keywords_of(WorkerPool.map),
    "future.cancel": keywords_of(TaskFuture.cancel),
}


def calls_in_tables() -> Iterator[ast.Call]:
    """The calls that last columns of tables tell the reader to make."""
    rows = (line for guide in GUIDES for line in guide.read_text().splitlines() if line.startswith("| "))
    for row in rows:
        for code in re.findall(r"`([^`]*\))`", row.split("|")[-2]):
            yield from (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call))


def test_the_calls_that_tables_name_exist():
    checked = set()
    for call in calls_in_tables():
        name = ast.unparse(call.func)
        if re.fullmatch(r"pool\.\w+", name):
            assert hasattr(WorkerPool, name.removeprefix("pool.")), name
        if name in KEYWORDS:
            checked.add(name)
            assert {keyword.arg for keyword in call.keywords} <= KEYWORDS[name], ast.unparse(call)
    assert checked == set(KEYWORDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_the_documents_lead_somewhere(document: Path):
    for target, anchor in _LINK.findall(document.read_text()):
        if target.startswith("http"):
            continue
        found = (document.parent / target).resolve() if target else document
        assert found.exists(), f"{document.name} links to {target}"
        if anchor:
            assert anchor[1:] in anchors(found), f"{document.name} links to {target}{anchor}"


def anchors(document: Path) -> set[str]:
    """What the headings of a document are called in links."""
    text = _FENCE.sub("", document.read_text())
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
