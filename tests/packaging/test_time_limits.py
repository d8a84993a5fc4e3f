"""What the suite does with a test that does not end: see tests/support/time_limits.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
SUITE = """
    import itertools, os, subprocess, sys, threading
    from pathlib import Path

    import pytest

    @pytest.fixture
    def hanging():
        yield
        threading.Event().wait()

    def swallow_once():
        try:
            threading.Event().wait()
        except BaseException:
            threading.Event().wait()

    def hold_the_interpreter():
        sum(itertools.repeat(0))  # C code that looks at no signal and gives nobody else a turn

    def child_that_forks():
        pid = os.fork()
        if pid == 0:
            threading.Event().wait()
        Path("forked").write_text(str(pid))

    def test_before():
        pass
"""
OPTIONS = ["-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "tests.support.time_limits"]


def run(folder: Path, test: str, *options: str) -> tuple[int, str]:
    """Exit code and output of pytest on a file with `test` between two that pass."""
    suite = textwrap.dedent(SUITE) + textwrap.dedent(test) + "\ndef test_after():\n    pass\n"
    (folder / "test_suite.py").write_text(suite)
    (folder / "pytest.ini").write_text("[pytest]\ntimeout = 2\ntimeout_method = signal\ntimeout_grace = 2\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, *options, "test_suite.py"],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        | {"PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=90,
        check=False,
    )
    return done.returncode, done.stdout


XDIST = ["-n", "1", "--dist", "worksteal"]


def test_a_test_that_waits_for_a_lock_fails_with_the_stacks_of_all_threads(tmp_path: Path):
    code, output = run(
        tmp_path,
        """
        def other_waits():
            threading.Lock().acquire()
            threading.Event().wait()

        def test_hangs():
            threading.Thread(target=other_waits, name="the-other", daemon=True).start()
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
        """,
        *XDIST,
    )
    assert code == 1, output
    assert "1 failed, 2 passed" in output
    assert "Timeout (>2.0s)" in output
    assert "Stack of the-other" in output
    assert "in other_waits" in output


@pytest.mark.parametrize(
    ("test", "where"),
    [
        ("def test_hangs():\n    hold_the_interpreter()\n", "in hold_the_interpreter"),
        ("def test_hangs():\n    swallow_once()\n", "in swallow_once"),
        (
            "def test_hangs():\n    child_that_forks()\n    hold_the_interpreter()\n",
            "in hold_the_interpreter",
        ),
        ("def test_hangs(hanging):\n    threading.Event().wait()\n", "in hanging"),
        ("def test_hangs(hanging):\n    assert False\n", "in hanging"),
    ],
    ids=["in C", "swallowed", "with a child that was forked", "over its time, and its fixture", "a fixture"],
)
def test_where_no_exception_helps_the_process_ends_and_another_runs_the_rest(
    tmp_path: Path, test: str, where: str
):
    code, output = run(tmp_path, test, *XDIST)
    forked = tmp_path / "forked"
    if forked.exists():
        psutil.Process(int(forked.read_text())).kill()
    assert code == 1, output
    assert re.search(r"worker 'gw\d' crashed while running '\S*test_hangs'", output), output
    assert where in output
    assert "2 passed" in output


def test_without_other_processes_the_run_ends(tmp_path: Path):
    start = time.monotonic()
    code, output = run(tmp_path, "def test_hangs():\n    hold_the_interpreter()\n")
    assert code != 0
    assert "in hold_the_interpreter" in output
    assert time.monotonic() - start >= 4, "it had its time and the grace"


def test_a_test_may_have_more_time_by_a_mark(tmp_path: Path):
    code, output = run(
        tmp_path,
        """
        @pytest.mark.timeout(60)
        def test_slow():
            threading.Event().wait(5)
        """,
    )
    assert code == 0, output
    assert "3 passed" in output
