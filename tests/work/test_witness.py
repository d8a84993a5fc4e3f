"""A process with a witness, and what becomes of it when one of the two ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

import pytest

from iris_actor import LocalLauncher
from iris_actor.work.launch import LaunchSpec, ReplicaState, ReplicaStatus
from iris_actor.work.launch.local.local_launch import LocalLaunch
from iris_actor.work.process.flight_recorder import Recording
from iris_actor.work.process.witness import find_note, note_line, without_notes
from tests.support.waiting import until

PROGRAM = """
import os, signal, sys, time
from iris_actor.work.process.flight_recorder import RecorderPen
from iris_actor.work.process.witness import continue_with_witness
continue_with_witness()
pen = RecorderPen.from_environment()
pen.write(7, 1.5, begun=True)
print("up", os.getpid(), os.getppid(), file=sys.stderr, flush=True)
"""


def run(launcher: LocalLauncher, rest: str) -> LocalLaunch:
    return launcher.launch(LaunchSpec("job", (sys.executable, "-c", PROGRAM + rest)))


def ended(launch: LocalLaunch) -> ReplicaStatus:
    until(lambda: launch.poll()[0].state is ReplicaState.ENDED, 30)
    return launch.poll()[0]


def pids(launch: LocalLaunch) -> tuple[int, int]:
    """Of the process, and of its witness."""
    until(lambda: "up" in launch.logs(0), 30)
    _, process, witness = launch.logs(0).split("\n")[0].split()
    return int(process), int(witness)


@pytest.fixture
def launcher():
    with LocalLauncher(sink=lambda _stream, _text: None) as launcher:
        yield launcher


@pytest.mark.parametrize(
    ("rest", "code", "name"),
    [
        ("sys.exit(0)", 0, None),
        ("os._exit(5)", 5, None),
        ("os.kill(os.getpid(), signal.SIGKILL)", None, "SIGKILL"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", None, "SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGTERM)", None, "SIGTERM"),
    ],
)
def test_a_witness_ends_as_its_process_did_and_says_what_that_was_at(
    launcher: LocalLauncher, rest: str, code: int | None, name: str | None
) -> None:
    launch = run(launcher, rest)
    status = ended(launch)
    assert (status.exit_code, status.signal) == (code, name)
    assert find_note(launch.logs(0)) == Recording(7, 1.5, begun=True)


def test_a_process_that_noted_nothing_and_ends_well_leaves_no_note(launcher: LocalLauncher) -> None:
    launch = run(launcher, "pen.write(0, 0.0, begun=False)")
    assert ended(launch).exit_code == 0
    assert find_note(launch.logs(0)) is None


def test_a_signal_to_the_witness_reaches_the_process(launcher: LocalLauncher) -> None:
    rest = "signal.signal(15, lambda *_: sys.exit(9)); print('ready', file=sys.stderr); time.sleep(600)"
    launch = run(launcher, rest)
    _, witness = pids(launch)
    assert launch.poll()[0].pid == witness
    until(lambda: "ready" in launch.logs(0), 30)
    os.kill(witness, signal.SIGTERM)
    assert ended(launch).exit_code == 9


def test_a_process_does_not_outlive_its_witness(
    launcher: LocalLauncher, all_gone: Callable[[list[int], float], list[int]]
) -> None:
    launch = run(launcher, "time.sleep(600)")
    process, witness = pids(launch)
    os.kill(witness, signal.SIGKILL)
    assert all_gone([process], 10) == []
    assert ended(launch).signal == "SIGKILL"


def test_the_last_note_counts_and_people_do_not_see_it() -> None:
    notes = [Recording(1, 2.0, begun=True), Recording(12345, 1e-07, begun=False)]
    text = "before\n" + "".join(note_line(note).decode() for note in notes) + "between\n"
    assert find_note(text) == notes[1]
    assert find_note(text.replace("\x1e!", "")) == notes[1]
    assert without_notes(text) == "before\nbetween\n"
    assert find_note("task 7 of the process") is None
