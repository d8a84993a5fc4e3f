"""The public API type-checks as it is meant to: right uses pass mypy and pyright, wrong ones do not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Lines that mypy says about the two files."""
    files = [str(HERE / name) for name in ("typed_calls.py", "rejected_calls.py")]
    cache = f"--cache-dir={tmp_path_factory.mktemp('mypy')}"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-pretty", cache, *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_right_uses_pass_strict_checks(report: list[str]) -> None:
    assert [line for line in report if "typed_calls.py" in line] == []


def test_wrong_uses_are_errors_of_the_kind_that_is_marked(report: list[str]) -> None:
    marked = re.findall(r"# type: ignore\[[\w-]+\]$", (HERE / "rejected_calls.py").read_text(), re.MULTILINE)
    assert len(marked) >= 10
    assert [line for line in report if "rejected_calls.py" in line] == []


def test_the_package_itself_has_no_errors_that_its_users_would_see(report: list[str]) -> None:
    assert [line for line in report if "iris_actor/" in line] == []


@pytest.fixture(scope="module")
def errors_of_pyright(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What pyright, as strict as it can be, says about the two files."""
    folder = tmp_path_factory.mktemp("pyright")
    for name in ("typed_calls.py", "rejected_calls.py"):
        shutil.copy(HERE / name, folder)
    settings = {
        "extraPaths": [str(ROOT)],
        "typeCheckingMode": "strict",
        # An ignore that ignores nothing is an error, so that each line that is marked must be one.
        "reportUnnecessaryTypeIgnoreComment": "error",
        # What follows from a line that is wrong on purpose, or from a handle without a type.
        "reportUnknownVariableType": "none",
        "reportUnknownMemberType": "none",
        "reportUnknownArgumentType": "none",
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == 2, done.stdout + done.stderr
    return [
        f"{Path(each['file']).name}:{each['range']['start']['line'] + 1}: {each['message']}"
        for each in report["generalDiagnostics"]
        if each["severity"] == "error"
    ]


def test_pyright_sees_the_same_types_and_refuses_the_same_lines(errors_of_pyright: list[str]) -> None:
    assert errors_of_pyright == []
