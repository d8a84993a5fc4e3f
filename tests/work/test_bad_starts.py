"""Workers that do not start: the pool breaks within seconds, and says what is wrong in words for a person."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from iris_actor.errors import BrokenWorkerPool
from iris_actor.work.client import IrisClient
from iris_actor.work.launch.local.local_launcher import LocalLauncher
from iris_actor.work.launch.resource_spec import ResourceSpec
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from tests.support.waiting import Stopwatch

SOON = 20.0
"""Seconds in which a pool breaks whose workers start and die; it takes about three on an idle machine."""
AT_ONCE = 8.0
"""Seconds in which it breaks when trying again is of no use."""

Broken = Callable[..., str]


@pytest.fixture
def broken(client: IrisClient) -> Iterator[Broken]:
    """Makes a pool that cannot work, and returns the reason with which it breaks in time."""
    launchers: list[LocalLauncher] = []

    def break_pool(*, python: str | Path | None = None, within: float = SOON, **config: Any) -> str:
        where = client
        if python is not None:
            launchers.append(LocalLauncher(sink=lambda _stream, _text: None, python=python))
            where = IrisClient(client.registry_url, job_id=client.job_id, launcher=launchers[-1])
        watch = Stopwatch()
        with WorkerPool(where, num_workers=2, **config) as pool:
            reasons = set()
            futures = []
            try:
                for number in range(3):
                    futures.append(pool.submit(abs, number))
            except BrokenWorkerPool as error:  # it broke before the last of them
                reasons.add(error.reason)
            for future in futures:
                error = future.exception(40)
                assert isinstance(error, BrokenWorkerPool)
                reasons.add(error.reason)
            assert watch.seconds < within
            assert reasons == {pool.status().broken}
            with pytest.raises(BrokenWorkerPool):
                pool.submit(abs, 1)
        if where is not client:
            where.close()
        return reasons.pop()

    yield break_pool
    for launcher in launchers:
        launcher.close()


def script(path: Path, text: str) -> Path:
    """A program with that source."""
    path.write_text(text)
    path.chmod(0o755)
    return path


# --- interpreters ---------------------------------------------------------------------------------------


def test_an_interpreter_that_does_not_exist_is_named_at_once(broken: Broken) -> None:
    reason = broken(python="/no/such/python", within=AT_ONCE)
    assert "the program cannot be started: No such file or directory: '/no/such/python'" in reason


def test_an_interpreter_that_is_not_on_the_path_is_named_at_once(broken: Broken) -> None:
    reason = broken(python="python-of-nobody", within=AT_ONCE)
    assert "the program cannot be started: No such file or directory: 'python-of-nobody'" in reason


def test_an_interpreter_that_is_not_executable_is_named_at_once(broken: Broken, tmp_path: Path) -> None:
    path = tmp_path / "python"
    path.write_text("text")
    reason = broken(python=path, within=AT_ONCE)
    assert f"the program cannot be started: Permission denied: '{path}'" in reason


def test_a_file_that_is_no_program_is_named_at_once(broken: Broken, tmp_path: Path) -> None:
    path = script(tmp_path / "python", "no program\n")
    reason = broken(python=path, within=AT_ONCE)
    assert f"the program cannot be started: Exec format error: '{path}'" in reason


def test_a_path_through_a_file_is_named_at_once(broken: Broken, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    reason = broken(python=path / "bin" / "python", within=AT_ONCE)
    assert f"the program cannot be started: Not a directory: '{path}/bin/python'" in reason


def test_a_program_that_is_no_python_breaks_the_pool_with_its_complaint(broken: Broken) -> None:
    reason = broken(python="/bin/cat")
    assert "exited with code 1" in reason
    assert "before it was ready" in reason
    assert "/bin/cat: " in reason  # its own words


def test_a_program_that_is_no_python_and_says_nothing_breaks_the_pool_with_its_exit_code(
    broken: Broken,
) -> None:
    reason = broken(python="/bin/false")
    assert "4 times in a row" in reason
    assert "exited with code 1 (/bin/false wrote nothing to stderr) before it was ready" in reason


def test_a_bare_environment_of_the_same_version_works_with_the_modules_of_the_driver(
    client: IrisClient, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    python = tmp_path / "bare" / "bin" / "python"
    with (
        LocalLauncher(python=python) as launcher,
        IrisClient(client.registry_url, job_id=client.job_id, launcher=launcher) as where,
        WorkerPool(where, num_workers=1) as pool,
    ):
        assert pool.submit(interpreter).result(30) == str(python)


def interpreter() -> str:
    return sys.executable


def test_an_interpreter_that_cannot_import_us_breaks_the_pool_with_the_import_error(
    broken: Broken, tmp_path: Path
) -> None:
    # What another version of Python would do with our modules cannot be had everywhere; this one finds none.
    lost = f'#!/bin/sh\nexport IRIS_WORKER_PATH={tmp_path}\nexec "{sys.executable}" -S "$@"\n'
    reason = broken(python=script(tmp_path / "python", lost))
    assert "before it was ready" in reason
    assert "ModuleNotFoundError: No module named" in reason


def test_a_relative_path_of_an_interpreter_is_one_of_the_drivers_directory(
    client: IrisClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    script(tmp_path / "bin" / "python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    monkeypatch.chdir(tmp_path)
    with (
        LocalLauncher(python="bin/python") as launcher,
        IrisClient(client.registry_url, job_id=client.job_id, launcher=launcher) as where,
        WorkerPool(where, num_workers=1, cwd="/") as pool,
    ):
        assert pool.submit(os.getcwd).result(30) == "/"


# --- working directory and environment --------------------------------------------------------------------


def test_a_working_directory_that_does_not_exist_is_named_at_once(broken: Broken) -> None:
    reason = broken(cwd="/no/such/directory", within=AT_ONCE)
    assert (
        "the working directory cannot be entered: No such file or directory: '/no/such/directory'" in reason
    )
    assert "python" not in reason


def test_a_working_directory_that_is_a_file_is_named_at_once(broken: Broken, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    reason = broken(cwd=path, within=AT_ONCE)
    assert f"the working directory cannot be entered: Not a directory: '{path}'" in reason


def test_a_home_of_python_that_is_none_breaks_the_pool_with_what_python_says(broken: Broken) -> None:
    reason = broken(env={"PYTHONHOME": "/no/such/home"})
    assert "before it was ready" in reason
    assert "No module named 'encodings'" in reason


def test_a_path_of_modules_that_leads_nowhere_does_no_harm(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=1, env={"PYTHONPATH": "/no/such/path:::nonsense"}) as pool:
        assert pool.submit(abs, -1).result(30) == 1


# --- initializers -----------------------------------------------------------------------------------------


def import_what_is_not_there() -> None:
    import no_such_module_anywhere  # type: ignore[import-not-found]  # noqa: F401


def exit_at_once(code: int) -> None:
    print("I am leaving", file=sys.stderr, flush=True)
    os._exit(code)


def fail(text: str) -> None:
    raise LookupError(text)


def crash() -> None:
    ctypes.string_at(0)


def leave() -> None:
    sys.exit("nothing to do here")


def test_an_initializer_that_cannot_import_breaks_the_pool_with_the_name_of_the_module(
    broken: Broken,
) -> None:
    reason = broken(initializer=import_what_is_not_there)
    assert "the initializer failed in worker-" in reason
    assert "ModuleNotFoundError: No module named 'no_such_module_anywhere'" in reason


def test_an_initializer_that_raises_breaks_the_pool_with_its_error(broken: Broken) -> None:
    reason = broken(initializer=fail, initargs=("no weights",), within=AT_ONCE)
    assert "the initializer failed in worker-" in reason
    assert "LookupError: no weights" in reason


def test_an_initializer_that_asks_to_exit_breaks_the_pool(broken: Broken) -> None:
    reason = broken(initializer=leave, within=AT_ONCE)
    assert "the initializer failed in worker-" in reason
    assert "SystemExit: nothing to do here" in reason


def test_an_initializer_that_exits_breaks_the_pool_with_the_exit_code(broken: Broken) -> None:
    reason = broken(initializer=exit_at_once, initargs=(9,))
    assert "4 times in a row" in reason
    assert "exited with code 9 while it ran the initializer" in reason
    assert "I am leaving" in reason


def test_an_initializer_that_crashes_breaks_the_pool_with_the_signal_and_the_place(broken: Broken) -> None:
    reason = broken(initializer=crash)
    assert "was ended by SIGSEGV while it ran the initializer" in reason
    assert re.search(r"line \d+ in crash", reason), reason


# --- memory -----------------------------------------------------------------------------------------------


def test_a_memory_limit_below_what_an_idle_worker_takes_breaks_the_pool_with_both_numbers(
    broken: Broken,
) -> None:
    reason = broken(resources=ResourceSpec(memory="30MB"))
    assert "exited with code 78" in reason
    assert "before it was ready" in reason
    assert re.search(
        r"memory limit of 30 MB \(ResourceSpec\.memory\) is too low: an idle worker takes [\d.]+ MB,", reason
    ), reason
