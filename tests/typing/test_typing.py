"""The public API type-checks as it is meant to: right uses pass mypy --strict, wrong ones do not."""

from __future__ import annotations

import re
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
        timeout=55,
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
