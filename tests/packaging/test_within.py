"""scripts/within.py: what `make test` runs the suite in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.support.processes import ROOT
from tests.support.waiting import until

HANGING = "import threading; threading.Event().wait()"


def within(seconds: float, source: str, *arguments: str, **options) -> subprocess.Popen[str]:
    script = str(ROOT / "scripts" / "within.py")
    command = [sys.executable, script, str(seconds), sys.executable, "-X", "faulthandler", "-c", source]
    return subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def test_a_command_in_time_decides_on_the_exit_code():
    for end, code in [("sys.exit(3)", 3), ("os.kill(os.getpid(), 9)", 128 + 9), ("print('done')", 0)]:
        process = within(60, f"import os, sys; {end}")
        output, _ = process.communicate(timeout=30)
        assert process.returncode == code
        assert output == ("done\n" if code == 0 else "")


def test_over_its_time_a_command_shows_its_stacks_and_ends():
    process = within(2, f"def stuck():\n    {HANGING}\nstuck()")
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 124
    assert "not done within 2 s" in errors
    assert "in stuck" in errors


def test_so_does_its_child_though_it_holds_the_interpreter_and_heeds_no_signal(tmp_path: Path):
    child = (
        "import itertools, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); sum(itertools.repeat(0))"
    )
    process = within(
        3,
        "import subprocess, sys; subprocess.run([sys.executable, '-X', 'faulthandler', '-c', sys.argv[1]])",
        child,
    )
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 124
    assert errors.count('File "<string>", line 1 in <module>') == 2, "the stacks of both"


def test_what_a_command_leaves_behind_ends_with_it_and_nobody_waits_for_it(tmp_path: Path):
    noted = tmp_path / "pid"
    source = f"""
import os, subprocess, sys
if os.fork() == 0:
    os.setsid()
    left = subprocess.Popen([sys.executable, "-c", {HANGING!r}])
    open({str(noted)!r}, "w").write(str(left.pid))
    os._exit(0)
os.wait()
"""
    process = within(60, source)
    process.communicate(timeout=30)  # to the end of the pipe, which the orphan has too
    assert process.returncode == 0
    assert not psutil.pid_exists(int(noted.read_text()))


def test_ctrl_c_is_the_commands_own_affair():
    source = f"""
import sys
try:
    print("ready", flush=True)
    {HANGING}
except KeyboardInterrupt:
    sys.exit(5)
"""
    process = within(60, source, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 5


def test_sigterm_ends_all():
    process = within(60, f"print('ready', flush=True); {HANGING}")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    children = psutil.Process(process.pid).children()
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    until(lambda: not any(child.is_running() for child in children))
