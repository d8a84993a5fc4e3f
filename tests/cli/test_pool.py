"""`iris-actor pool`: pools of other processes, listed and watched, with real drivers and real terminals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from iris_actor import ActorId, Endpoint, connect_registry
from iris_actor.testing import EtcdProcess
from tests.cli.conftest import Cli, Start
from tests.support.processes import python
from tests.support.terminal import Terminal
from tests.support.waiting import until

DRIVER = textwrap.dedent("""
    import os, pathlib, sys, time
    from iris_actor import Credentials
    from iris_actor.work.client import IrisClient
    from iris_actor.work.pool.executor.worker_pool import WorkerPool

    def hold(path):
        while not pathlib.Path(path).exists():
            time.sleep(0.01)

    def fail():
        raise ValueError("no such model\\x1b[2J")

    def main(name, release, workers, registry="", namespace="", token=""):
        client = None
        if registry:
            credentials = Credentials(token=token) if token else None
            client = IrisClient.remote(registry, namespace=namespace, credentials=credentials)
        with WorkerPool(client, num_workers=int(workers), name=name) as pool:
            pool.submit(fail).exception()
            held = [pool.submit(hold, release) for _ in range(pool.num_workers)]
            while [info.task for info in pool.status().worker_infos] != ["hold"] * len(held):
                time.sleep(0.01)
            more = [pool.submit(time.sleep, 0) for _ in range(50)]
            print("ready", flush=True)
            sys.stdin.readline()
        if client is not None:
            client.close()

    if __name__ == "__main__":
        main(*sys.argv[1:])
""")


class Driver:
    """A program with a pool in which each worker holds a task, one task has failed, and 50 wait."""

    def __init__(self, folder: Path, name: str, workers: int, *more: str) -> None:
        self._release = folder / f"release-{name}-{os.urandom(4).hex()}"
        script = folder / "driver.py"
        script.write_text(DRIVER)
        self.process = python(
            str(script), name, str(self._release), str(workers), *more, stdin=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    @property
    def pid(self) -> int:
        return self.process.pid

    def finish(self) -> None:
        """Let the tasks go and the pool end."""
        assert self.process.stdin is not None
        self._release.touch()
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.wait(30) == 0

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(10)

    def close(self) -> None:
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGCONT)
            self.kill()
        self.process.communicate()


Drive = Callable[..., Driver]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the pools of a test are to be found, and no others."""
    monkeypatch.setenv("IRIS_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Drive]:
    """Starts drivers; they end with the test."""
    with ExitStack() as stack:

        def start(name: str = "sweep", workers: int = 2, *more: str) -> Driver:
            driver = Driver(tmp_path, name, workers, *more)
            stack.callback(driver.close)
            return driver

        yield start


@pytest.fixture
def watch() -> Iterator[Callable[..., Terminal]]:
    """Runs ``iris-actor pool`` in terminals of their own."""
    with ExitStack() as stack:
        yield lambda *arguments, **size: stack.enter_context(Terminal("pool", *arguments, **size))


Watch = Callable[..., Terminal]


def objects(lines: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines()]


# --- one look -----------------------------------------------------------------------------------------


def test_a_look_shows_workers_tasks_and_failures(bare_cli: Cli, drive: Drive):
    driver = drive()
    ran = bare_cli("pool", "sweep")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].startswith(f"sweep  {socket.gethostname()} pid {driver.pid}  up ")
    assert "0 done  1 failed" in lines[1]
    assert "2 busy  0 failed  0 idle  0 pending  of 2" in lines[2]
    for worker in ("worker-0", "worker-1"):
        (row,) = [line for line in lines if line.startswith(worker)]
        assert "busy" in row
        assert "hold" in row
        assert f"{socket.gethostname()}:" in row
    assert lines[-2] == "latest failures"
    assert "fail  ValueError: no such model" in lines[-1]
    assert "\x1b" not in ran.out, "what a task says does not reach the terminal as a command"


def test_the_same_as_json(bare_cli: Cli, drive: Drive):
    driver = drive()
    ran = bare_cli("pool", "sweep", "--once", "--json")
    assert ran.code == 0
    answer = json.loads(ran.out)
    assert (answer["name"], answer["pid"]) == ("sweep", driver.pid)
    assert answer["workers"] == {"busy": 2, "idle": 0, "pending": 0, "failed": 0}
    assert answer["tasks"]["failed"] == 1
    assert [info["task"] for info in answer["worker_infos"]] == ["hold", "hold"]
    assert answer["failures"][0]["text"].startswith("ValueError: no such model")


@pytest.mark.parametrize("columns", [1, 20, 30, 50, 200])
def test_a_narrow_terminal_cuts_lines_and_leaves_out_columns(
    bare_cli: Cli, drive: Drive, monkeypatch: pytest.MonkeyPatch, columns: int
):
    drive(name="a-pool-with-a-rather-long-name")
    monkeypatch.setenv("COLUMNS", str(columns))
    ran = bare_cli("pool", "a-pool-with-a-rather-long-name", "--once")
    assert (ran.code, ran.err) == (0, "")
    assert all(len(line) <= columns for line in ran.out.splitlines())
    if columns >= 30:
        assert "worker-0" in ran.out
        assert "busy" in ran.out
        assert "hold" in ran.out
    assert ("restarts" in ran.out) == (columns == 200)


# --- which pools there are ----------------------------------------------------------------------------


def test_without_a_name_it_lists_the_pools_of_this_machine(bare_cli: Cli, drive: Drive):
    drivers = [drive("sweep", 2), drive("other", 1)]
    ran = bare_cli("pool")
    assert ran.code == 0
    header, *rows = ran.out.splitlines()
    assert header.split() == ["pool", "driver", "up", "workers", "tasks"]
    assert [row.split()[0] for row in rows] == ["sweep", "other"]
    for row, driver, workers in zip(rows, drivers, ("2 busy", "1 busy"), strict=True):
        assert f"pid {driver.pid}" in row
        assert workers in row
        assert "1 failed" in row
    listed = json.loads(bare_cli("pool", "--json").out)
    assert [(each["name"], each["pid"], each["workers"]["busy"]) for each in listed] == [
        ("sweep", drivers[0].pid, 2),
        ("other", drivers[1].pid, 1),
    ]
    assert "token" not in json.dumps(listed)


def test_without_pools_the_list_says_so(bare_cli: Cli):
    ran = bare_cli("pool")
    assert (ran.code, ran.out) == (0, "no pools of yours on this machine\n")
    assert json.loads(bare_cli("pool", "--json").out) == []


def test_a_pool_that_gives_no_answer_is_listed_without_counts(bare_cli: Cli, drive: Drive):
    silent = drive("silent", 1)
    drive("sweep", 1)
    os.kill(silent.pid, signal.SIGSTOP)
    ran = bare_cli("pool")
    assert ran.code == 0
    rows = {line.split()[0]: line for line in ran.out.splitlines()}
    assert "no answer" in rows["silent"]
    assert "1 busy" in rows["sweep"]
    ran = bare_cli("pool", "silent")
    assert ran.code == 4
    assert "no answer" in ran.err


def test_a_name_that_is_not_there_is_exit_code_3_and_suggests_those_that_are(bare_cli: Cli, drive: Drive):
    ran = bare_cli("pool", "nothing")
    assert (ran.code, ran.out) == (3, "")
    assert "there is no pool 'nothing' of yours on this machine; there are none" in ran.err
    drive("sweep", 1)
    ran = bare_cli("pool", "swep")
    assert ran.code == 3
    assert "there is no pool 'swep' of yours on this machine; there is sweep" in ran.err


def test_a_pool_whose_driver_was_killed_is_not_there(bare_cli: Cli, drive: Drive, folder: Path):
    driver = drive("sweep", 1)
    until(
        lambda: folder.exists() and len(list(folder.iterdir())) == 1
    )  # a thread of the driver's announces it
    driver.kill()
    assert bare_cli("pool", "sweep").code == 3
    assert list(folder.iterdir()) == []


def test_pools_of_one_name_are_told_apart_by_the_pid(bare_cli: Cli, drive: Drive):
    drivers = [drive("sweep", 1), drive("sweep", 1)]
    ran = bare_cli("pool", "sweep")
    assert ran.code == 2
    assert "2 pools named 'sweep', say which" in ran.err
    for driver in drivers:
        assert f"sweep@{driver.pid}" in ran.err
        chosen = bare_cli("pool", f"sweep@{driver.pid}", "--once", "--json")
        assert json.loads(chosen.out)["pid"] == driver.pid
    assert bare_cli("pool", f"sweep@{os.getpid()}").code == 3


@pytest.mark.parametrize("target", ["sweep@", "sweep@x", "@12", ""])
def test_a_name_that_makes_no_sense_is_exit_code_2(bare_cli: Cli, target: str):
    ran = bare_cli("pool", target)
    assert ran.code == 2
    assert "expected NAME or NAME@PID" in ran.err


def test_a_folder_that_others_can_enter_is_not_believed(bare_cli: Cli, drive: Drive, folder: Path):
    drive("sweep", 1)
    folder.chmod(0o755)
    assert bare_cli("pool", "sweep").code == 3


# --- through a registry -------------------------------------------------------------------------------


@pytest.fixture
def remote(drive: Drive, etcd: EtcdProcess, namespace: str, tmp_path: Path) -> Driver:
    """A driver whose pool is announced in the test's registry, and asks for a token."""
    return drive("sweep", 1, etcd.url, namespace, "secret")


def test_a_pool_is_found_through_a_registry_with_the_clients_token(
    bare_cli: Cli, remote: Driver, etcd: EtcdProcess, namespace: str, tmp_path: Path, monkeypatch: Any
):
    monkeypatch.setenv("IRIS_RUNTIME_DIR", str(tmp_path / "elsewhere"))
    token = tmp_path / "token"
    token.write_text("secret\n")
    options = ("--registry", etcd.url, "--namespace", namespace)
    ran = bare_cli("pool", "sweep", "--json", "--once", *options, "--token-file", str(token))
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["pid"] == remote.pid
    (listed,) = json.loads(bare_cli("pool", "--json", *options, "--token-file", str(token)).out)
    assert (listed["name"], listed["pid"]) == ("sweep", remote.pid)
    called = bare_cli("call", "_workerpool/sweep/monitor.status", *options, "--token-file", str(token))
    assert json.loads(called.out)["pid"] == remote.pid, "it is an actor like any other"
    assert bare_cli("pool", "sweep", *options).code == 3
    missing = bare_cli("pool", "other", *options)
    assert missing.code == 3
    assert f"no pool 'other' in the namespace '{namespace}'; there is sweep" in missing.err


def test_a_name_that_is_not_here_is_looked_for_in_the_registry_of_the_environment(
    bare_cli: Cli, remote: Driver, etcd: EtcdProcess, tmp_path: Path, monkeypatch: Any
):
    monkeypatch.setenv("IRIS_RUNTIME_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("IRIS_REGISTRY", etcd.url)
    monkeypatch.setenv("IRIS_TOKEN", "secret")
    ran = bare_cli("pool", f"sweep@{remote.pid}", "--json", "--once")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["pid"] == remote.pid
    assert bare_cli("pool").out == "no pools of yours on this machine\n"


def test_a_pool_of_ones_own_needs_no_registry_even_if_the_environment_names_one_that_is_away(
    bare_cli: Cli, drive: Drive, monkeypatch: Any
):
    drive("sweep", 1)
    monkeypatch.setenv("IRIS_REGISTRY", "etcd://127.0.0.1:1")
    assert bare_cli("pool", "sweep").code == 0


def test_the_token_of_ones_own_pool_is_known_through_a_registry_too(
    bare_cli: Cli, drive: Drive, etcd: EtcdProcess, namespace: str
):
    driver = drive("sweep", 1, etcd.url, namespace)
    ran = bare_cli("pool", "sweep", "--json", "--once", "--registry", etcd.url, "--namespace", namespace)
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["pid"] == driver.pid


def test_a_pool_that_only_its_own_machine_can_reach_says_which_that_is(
    cli: Cli, etcd: EtcdProcess, namespace: str
):
    endpoint = Endpoint(
        name=f"{namespace}/_workerpool/far/monitor",
        actor_id=ActorId("far"),
        address="127.0.0.1:4000",
        host="elsewhere",
        pid=12,
    )
    with connect_registry(etcd.url) as registry:
        registry.register(endpoint)
        ran = cli("pool", "far")
    assert ran.code == 3
    assert "can only be watched on its driver's machine, elsewhere" in ran.err


def test_a_namespace_without_a_registry_is_exit_code_2(bare_cli: Cli):
    ran = bare_cli("pool", "--namespace", "demo")
    assert ran.code == 2
    assert "no registry" in ran.err


# --- again and again ----------------------------------------------------------------------------------


def test_json_comes_an_object_a_line_until_the_pool_ends(start: Start, drive: Drive):
    driver = drive()
    process = start("pool", "sweep", "--json", "--interval", "0.1")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    second = json.loads(process.stdout.readline())
    driver.finish()
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    ages = [each["age"] for each in [first, second, *objects(out)]]
    assert ages == sorted(set(ages))


def test_the_view_in_a_terminal_follows_the_pool_until_it_ends(watch: Watch, drive: Drive):
    driver = drive()
    terminal = watch("sweep", "--interval", "0.1")
    until(lambda: len(terminal.frames) > 2)
    frame = terminal.frames[-1]
    assert f"pid {driver.pid}" in frame
    assert "worker-1" in frame
    assert "hold" in frame
    assert "fail  ValueError: no such model" in frame
    assert "/s now" in frame
    driver.finish()
    assert terminal.wait() == 0
    assert "\x1b[?1049l" in terminal.raw, "the terminal shows again what it did before"
    assert "\x1b[?25h" in terminal.raw, "and its cursor"
    last = terminal.text.rpartition(f"pid {driver.pid}")[2]
    assert "/s now" in last, "the last look stays"
    assert last.rstrip().endswith("pool sweep has ended")


def test_the_view_says_so_when_the_driver_is_killed(watch: Watch, drive: Drive, folder: Path):
    driver = drive()
    terminal = watch("sweep", "--interval", "0.1")
    until(lambda: terminal.frames)
    driver.kill()
    assert terminal.wait() == 0
    assert (
        f"pool sweep is gone: its driver (pid {driver.pid}) ended without shutting it down" in terminal.text
    )
    assert list(folder.iterdir()) == []


def test_the_view_waits_for_a_driver_that_is_silent(watch: Watch, drive: Drive):
    driver = drive("sweep", 1)
    terminal = watch("sweep", "--interval", "0.1")
    until(lambda: terminal.frames)
    os.kill(driver.pid, signal.SIGSTOP)
    until(lambda: terminal.frames and "no answer" in terminal.frames[-1])
    os.kill(driver.pid, signal.SIGCONT)
    until(lambda: "no answer" not in terminal.frames[-1])
    driver.finish()
    assert terminal.wait() == 0


@pytest.mark.parametrize("how", ["ctrl-c", "sigterm"])
def test_who_has_seen_enough_leaves_the_view_and_the_pool_goes_on(
    watch: Watch, drive: Drive, bare_cli: Cli, how: str
):
    driver = drive("sweep", 1)
    terminal = watch("sweep", "--interval", "0.1")
    until(lambda: terminal.frames)
    if how == "ctrl-c":
        terminal.press(b"\x03")
    else:
        terminal.process.terminate()
    assert terminal.wait() == 0
    assert "\x1b[?1049l" in terminal.raw
    assert "Traceback" not in terminal.text
    assert bare_cli("pool", "sweep").code == 0
    driver.finish()


@pytest.mark.parametrize(("columns", "lines"), [(30, 8), (12, 3), (200, 50)])
def test_the_view_fits_any_terminal(watch: Watch, drive: Drive, columns: int, lines: int):
    driver = drive("sweep", 2)
    terminal = watch("sweep", "--interval", "0.1", columns=columns, lines=lines)
    until(lambda: len(terminal.frames) > 1)
    shown = terminal.frames[-1].splitlines()
    assert len(shown) <= lines
    assert all(len(line) <= columns for line in shown)
    driver.finish()
    assert terminal.wait() == 0


def test_many_workers_in_a_low_terminal_are_counted(watch: Watch, drive: Drive):
    driver = drive("sweep", 6)
    terminal = watch("sweep", "--interval", "0.1", lines=12)
    until(lambda: len(terminal.frames) > 1)
    frame = terminal.frames[-1]
    rows = frame.count("worker-")
    assert 0 < rows < 6
    assert f"and {6 - rows} more" in frame
    driver.finish()
    assert terminal.wait() == 0
