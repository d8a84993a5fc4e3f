"""The sweep: every result arrives although a worker is killed, and it notices when one does not."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from examples.sweep.driver import Sweep
from examples.sweep.evaluation import Outcome
from examples.sweep.grid import GRIDS, grid_size, make_grid
from examples.sweep.sabotage import Kill
from examples.sweep.tracker import Tracker
from tests.examples.conftest import Run


@pytest.mark.timeout(150)
def test_every_result_arrives_although_a_worker_is_killed(run: Run, tmp_path: Path):
    picture = tmp_path / "new folder" / "sweep.png"
    done = run(
        "-m", "examples.sweep", "--configs", "18", "--workers", "2", "--out", str(picture), timeout=120
    )
    assert "all 18 results arrived" in done.stdout
    killed = re.search(r"SIGKILL to (worker-\d) \(pid (\d+)\)", done.stderr)
    assert killed is not None
    assert "What became of the killed worker's task" in done.stdout
    rows = [line for line in done.stdout.splitlines() if "killed after" in line]
    assert len(rows) == 1
    assert killed.group(2) in rows[0]
    again = re.search(r"│ 2 +│ worker-\d +│ (\d+) ", done.stdout)
    assert again is not None
    assert again.group(1) != killed.group(2)
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) > 20_000


@pytest.mark.timeout(120)
def test_all_workers_may_live(run: Run, tmp_path: Path):
    picture = tmp_path / "sweep.png"
    options = ["--configs", "5", "--workers", "2", "--no-kill", "--out", str(picture)]
    done = run("-m", "examples.sweep", *options, timeout=100)
    assert "all 5 results arrived" in done.stdout
    assert "SIGKILL" not in done.stderr
    assert picture.exists()


@pytest.mark.parametrize("options", [["--configs", "0"], ["--configs", "100000"], ["--workers", "0"]])
def test_bad_options_are_refused(run: Run, options: list[str]):
    assert "must be" in run("-m", "examples.sweep", *options, code=2).stderr


def test_the_grid_has_all_families_from_the_beginning_and_no_configuration_twice():
    configs = make_grid(grid_size())
    assert grid_size() >= 60
    assert {config.family for config in configs[: len(GRIDS)]} == set(GRIDS)
    assert len({(config.family, config.params) for config in configs}) == len(configs)
    assert [config.index for config in configs] == list(range(len(configs)))
    with pytest.raises(ValueError, match="configurations"):
        make_grid(grid_size() + 1)


@pytest.fixture
def sweep() -> Sweep:
    """A sweep of three, in which worker 1 was killed while it ran the last one."""
    configs = make_grid(3)
    tracker = Tracker()
    outcomes = []
    for config in configs[:2]:
        number = tracker.started(config.index, "worker-0", 100)
        tracker.finished(config.index, number, 0.9)
        outcomes.append(Outcome(config, 0.9, 0.01, 0.1, "worker-0", 100, number))
    tracker.started(2, "worker-1", 101)
    (lost,) = tracker.lost(101)
    number = tracker.started(2, "worker-0", 100)
    tracker.finished(2, number, 0.8)
    outcomes.append(Outcome(configs[2], 0.8, 0.01, 0.1, "worker-0", 100, number))
    return Sweep(configs, outcomes, tracker.attempts(), Kill(lost, lost.ended or 0.0), 1.0)


def test_a_complete_sweep_has_no_problems(sweep: Sweep):
    assert sweep.problems() == []
    assert [attempt.lost for attempt in sweep.attempts] == [False, False, True, False]
    assert sweep.best[0].accuracy == 0.9


def test_a_missing_result_is_a_problem(sweep: Sweep):
    problems = replace(sweep, outcomes=sweep.outcomes[:1], kill=None).problems()
    assert problems == ["no result of configurations [1, 2]"]


def test_a_result_that_the_tracker_knows_nothing_of_is_a_problem(sweep: Sweep):
    changed = [replace(sweep.outcomes[0], accuracy=0.5), *sweep.outcomes[1:]]
    assert replace(sweep, outcomes=changed).problems() == [
        "the tracker knows another result of configuration 0"
    ]


def test_a_killed_task_that_was_not_run_again_is_a_problem(sweep: Sweep):
    first = replace(sweep.outcomes[2], attempt=1)
    assert (
        "the killed worker's task was not run again"
        in replace(sweep, outcomes=[*sweep.outcomes[:2], first]).problems()
    )
