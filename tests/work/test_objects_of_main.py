"""What ProcessPoolExecutor takes of a script's own, the pool takes: functions, classes, and what they use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("main_*.py"))


def outcomes(program: Path, executor: str) -> dict[str, list[str]]:
    done = subprocess.run(
        [sys.executable, str(program), executor], capture_output=True, text=True, timeout=110, check=True
    )
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_a_pool_takes_what_the_stdlibs_takes_of_a_script(program: Path) -> None:
    stdlib = outcomes(program, "stdlib")
    pool = outcomes(program, "pool")
    assert len(pool) == len(stdlib) > 5
    assert {name: outcome for name, outcome in pool.items() if outcome[0] == "error"} == {}
    taken = {name: outcome for name, outcome in stdlib.items() if outcome[0] == "value"}
    assert {name: pool[name] for name in taken} == taken
    assert len(taken) >= len(stdlib) - 1
