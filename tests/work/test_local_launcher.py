from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from iris_actor.work.launch.launcher import Launch, LaunchSpec, ReplicaState, ReplicaStatus
from iris_actor.work.launch.local.local_launcher import LocalLauncher

from .conftest import Script


class Lines:
    """A sink that remembers, and can be waited for."""

    def __init__(self) -> None:
        self.text = {"stdout": "", "stderr": ""}
        self._changed = threading.Condition()

    def __call__(self, stream: str, text: str) -> None:
        with self._changed:
            self.text[stream] += text
            self._changed.notify_all()

    def wait_for(self, stream: str, text: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: text in self.text[stream], 20), self.text


class Ended:
    """Waits for the end of replicas."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def notify(self) -> None:
        self._event.set()

    def wait(self, launch: Launch) -> tuple[ReplicaStatus, ...]:
        while not all(status.state is ReplicaState.ENDED for status in launch.poll()):
            assert self._event.wait(20)
            self._event.clear()
        return launch.poll()


def python(source: str, **options: object) -> LaunchSpec:
    return LaunchSpec("job", (sys.executable, "-c", source), **options)  # type: ignore[arg-type]


def test_replicas_learn_their_index_and_inherit_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_DRIVER", "yes")
    source = (
        "import os; e = os.environ;"
        "print(e['IRIS_TASK_INDEX'], e['IRIS_NUM_TASKS'], e['FROM_DRIVER'], e['GIVEN'], os.getcwd())"
    )
    lines, ended = Lines(), Ended()
    with LocalLauncher(sink=lines) as launcher:
        launch = launcher.launch(python(source, replicas=2, env={"GIVEN": "too"}), notify=ended.notify)
        assert [status.exit_code for status in ended.wait(launch)] == [0, 0]
    expected = {f"[job-{i}] {i} 2 yes too {Path.cwd()}" for i in range(2)}
    assert set(lines.text["stdout"].splitlines()) == expected


def test_exit_codes_and_signals_are_reported_with_the_last_words() -> None:
    ended = Ended()
    with LocalLauncher(sink=Lines()) as launcher:
        bad = python("import sys; print('oh no', file=sys.stderr); sys.exit(7)")
        first = launcher.launch(bad, notify=ended.notify)
        status = ended.wait(first)[0]
        assert (status.exit_code, status.signal, status.how) == (7, None, "exited with code 7")
        assert first.logs(0) == "oh no"
        killed = launcher.launch(
            python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"), notify=ended.notify
        )
        status = ended.wait(killed)[0]
        assert (status.exit_code, status.signal, status.how) == (None, "SIGSEGV", "was ended by SIGSEGV")


def test_cancel_asks_first_and_kills_after_the_grace() -> None:
    lines, ended = Lines(), Ended()
    start = "import signal, sys; signal.signal(15, {}); print('up', flush=True)\nwhile 1: signal.pause()"
    polite, stubborn = start.format("lambda *a: sys.exit(4)"), start.format("signal.SIG_IGN")
    with LocalLauncher(sink=lines) as launcher:
        for source, grace, outcome in ((polite, 20, (4, None)), (stubborn, 0.1, (None, "SIGKILL"))):
            label = f"w{grace}"
            launch = launcher.launch(python(source, labels=(label,)), notify=ended.notify)
            lines.wait_for("stdout", f"[{label}] up\n")
            launch.cancel(grace=grace)
            status = ended.wait(launch)[0]
            assert (status.exit_code, status.signal) == outcome


def test_what_an_ended_replica_left_in_its_group_is_killed(
    all_gone: Callable[[list[int], float], list[int]],
) -> None:
    lines, ended = Lines(), Ended()
    source = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True)"
    with LocalLauncher(sink=lines) as launcher:
        ended.wait(launcher.launch(python(source), notify=ended.notify))
        pid = int(lines.text["stdout"].split()[1])
        assert all_gone([pid], 2) == []


def test_close_ends_replicas_and_what_left_their_group(
    all_gone: Callable[[list[int], float], list[int]],
) -> None:
    lines = Lines()
    source = (
        "import subprocess, time;"
        "print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid, flush=True);"
        "time.sleep(600)"
    )
    launcher = LocalLauncher(sink=lines)
    launch = launcher.launch(python(source))
    lines.wait_for("stdout", "\n")
    escaped = int(lines.text["stdout"].split()[1])
    pid = launch.poll()[0].pid
    launcher.close()
    launcher.close()
    assert all_gone([pid, escaped], 0) == []
    with pytest.raises(RuntimeError, match="closed"):
        launcher.launch(python("pass"))


def test_a_command_that_cannot_be_started_says_so() -> None:
    with LocalLauncher() as launcher, pytest.raises(OSError, match="no-such-program"):
        launcher.launch(LaunchSpec("job", ("/no-such-program",), replicas=2))


DRIVER = """
    import json, os, signal, sys, threading
    from iris_actor.work.launch.launcher import LaunchSpec
    from iris_actor.work.launch.local.local_launcher import LocalLauncher

    lines = []
    seen = threading.Event()
    def sink(stream, text):
        lines.extend(text.splitlines())
        if len(lines) >= 3:
            seen.set()
    hog = '''
    import subprocess, os, re
    child = subprocess.Popen(["sleep", "600"])
    escaped = subprocess.Popen(["sleep", "600"], start_new_session=True)
    print(os.getpid(), child.pid, escaped.pid, flush=True)
    re.match("(a*)*b", "a" * 64)  # keeps the GIL for longer than the universe will last
    '''
    import textwrap
    launcher = LocalLauncher(sink=sink)
    launcher.launch(LaunchSpec("w", (sys.executable, "-c", textwrap.dedent(hog)), replicas=3))
    assert seen.wait(20)
    {fork}
    print(json.dumps([int(pid) for line in lines for pid in line.split()[1:]]), flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("fork", ["pass", "os.fork() or signal.pause()"], ids=["alone", "with a fork"])
def test_nothing_outlives_a_driver_that_is_killed(
    script: Script, fork: str, all_gone: Callable[[list[int], float], list[int]]
) -> None:
    driver = script(DRIVER.replace("{fork}", fork))
    assert driver.stdout is not None
    line = driver.stdout.readline()
    assert line, driver.communicate()[1]
    pids = json.loads(line)
    assert len(pids) == 9
    children = psutil.Process(driver.pid).children()
    forked = [child for child in children if "sleep" not in child.name()]
    driver.kill()
    left = all_gone(pids, 2)
    for child in forked:  # the driver's own forked child is not the launcher's to end
        if child.is_running():
            child.kill()
    assert left == []


def test_nothing_is_left_when_the_driver_leaves_without_closing(
    script: Script, all_gone: Callable[[list[int], float], list[int]]
) -> None:
    driver = script(DRIVER.replace("{fork}", "pass").replace("signal.pause()", "os._exit(0)"))
    out, err = driver.communicate(timeout=30)
    assert driver.returncode == 0, err
    assert all_gone(json.loads(out), 2) == []


def test_the_guardian_does_not_mind_signals_and_is_gone_after_close() -> None:
    launcher = LocalLauncher(sink=Lines())
    before = {child.pid for child in psutil.Process().children()}
    launch = launcher.launch(python("import time; time.sleep(600)"))
    worker = launch.poll()[0].pid
    guardians = [c for c in psutil.Process().children() if c.pid not in before | {worker}]
    assert len(guardians) == 1
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        guardians[0].send_signal(number)
    assert psutil.pid_exists(worker)
    launcher.close()
    assert not guardians[0].is_running()


def test_the_flight_recorder_survives_its_writer(tmp_path: Path) -> None:
    ended = Ended()
    source = (
        "import os, signal; from iris_actor.work.process.flight_recorder import RecorderPen;"
        "pen = RecorderPen.from_environment(); pen.write(41, 1.5, begun=True);"
        "pen.write(42, 2.5, begun=False); os.kill(os.getpid(), 9)"
    )
    with LocalLauncher(sink=Lines()) as launcher:
        launch = launcher.launch(python(source), notify=ended.notify)
        assert ended.wait(launch)[0].signal == "SIGKILL"
        assert launch.recorded(0) == (42, 2.5, False)


def test_replicas_that_end_at_once_are_all_reported() -> None:
    ended = Ended()
    with LocalLauncher(sink=Lines()) as launcher:
        launches = []
        for code in range(40):
            spec = LaunchSpec("job", ("/bin/sh", "-c", f"exit {code}"))
            launches.append(launcher.launch(spec, notify=ended.notify))
        assert [ended.wait(launch)[0].exit_code for launch in launches] == list(range(40))
