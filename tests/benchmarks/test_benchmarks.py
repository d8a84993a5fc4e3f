"""The benchmark tool: what it measures is checked, what it says can be made again, and a bad run fails."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest

from benchmarks import check
from benchmarks.goals import verdicts
from benchmarks.measure import ArrayFeed, Budget, CallFeed, ListFeed, MismatchError, measure
from benchmarks.plan import BENCHMARKS
from benchmarks.results import Results, Row, Table
from tests.support.processes import ROOT

BUDGET = Budget(seconds=1.0, at_least=3, at_most=3)


def benchmarks(*arguments):
    command = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def results_of(name, **rates):
    rows = [Row(peer, "", samples=dict(enumerate(samples))) for peer, samples in rates.items()]
    return Results(machine={}, tables=[Table(BENCHMARKS[name], rows)])


@pytest.mark.parametrize(
    ("feed", "lie"),
    [
        (CallFeed(BUDGET), lambda value: value + 1),
        (ListFeed(BUDGET, 100, step=0), lambda values: values[::-1]),
        (ArrayFeed(BUDGET, 80_000), lambda array: array * 2),
        (ArrayFeed(BUDGET, 80_000), lambda array: array),  # it never left the process
    ],
)
def test_a_wrong_reply_is_not_timed(feed, lie):
    assert measure(copy.deepcopy, feed, None)["calls"] >= 3
    with pytest.raises(MismatchError):
        measure(lie, feed, None)


def test_ratios_are_taken_within_rounds():
    # The machine became four times slower in the second round; iris was twice as fast in all three.
    rates = [8.0, 2.0, 8.0]
    results = results_of(
        "tasks",
        iris=[{"rate": 2 * rate} for rate in rates],
        loky=[{"rate": rate} for rate in rates],
    )
    table = results.tables[0]
    ratio = table.ratio(table.rows[1])
    assert (ratio.median, ratio.lowest, ratio.highest) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(("rate", "met"), [(4.9, False), (5.0, True)])
def test_a_goal_is_met_or_missed(rate, met):
    results = results_of("tasks", iris=[{"rate": rate}], loky=[{"rate": 1.0}])
    assert [verdict.met for verdict in verdicts(results)] == [met]


@pytest.mark.parametrize(("p50", "met"), [(115.0, True), (116.0, False)])
def test_less_is_better_where_times_are_measured(p50, met):
    results = results_of("latency", iris=[{"p50": p50}], **{"grpc-stream": [{"p50": 100.0}]})
    assert [verdict.met for verdict in verdicts(results)] == [met]


def test_the_check_tells_what_became_twice_as_slow():
    recorded = check.baseline()
    assert check.worse(recorded, recorded) == ()
    slower = {**recorded, "latency": recorded["latency"] * 0.49}
    assert check.worse(slower, recorded) == ("latency",)


def test_a_run_writes_what_its_report_can_be_made_of_again(tmp_path):
    kept, report = tmp_path / "kept.json", tmp_path / "report.md"
    run = benchmarks(
        *("--only", "latency,echo", "--peers", "iris,tcp", "--quick", "--rounds", 1, "--seconds", 20),
        *("--json", kept, "--markdown", report),
    )
    assert run.returncode == 0, run.stderr
    results = Results.from_json(json.loads(kept.read_text()))
    assert [table.benchmark.name for table in results.tables] == ["latency", "echo-1 MB", "echo-64 MB"]
    assert all(row.samples for table in results.tables for row in table.rows)
    again = tmp_path / "again.md"
    assert benchmarks("--from", kept, "--markdown", again).returncode == 0
    assert again.read_text() == report.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "latencies"), "unknown: latencies; there are latency"),
        (("--rounds", "0"), "'0' is not a whole number above 0"),
        (("--from", "/nowhere.json"), "No such file"),
    ],
)
def test_bad_input_is_told(arguments, said):
    run = benchmarks(*arguments)
    assert run.returncode
    assert said in run.stderr
