"""Fixtures of the tests of work/: pools that tests share, and scripts that run as drivers of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool

Script = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def client() -> Iterator[IrisClient]:
    """A local client for all tests of a module; each pool has a name of its own in it."""
    with IrisClient.local() as client:
        # Starts what the client keeps for its pools (launcher, registry), so that it is not the first
        # test that seems to leave it behind.
        with WorkerPool(client, num_workers=1) as pool:
            pool.wait_for_workers(timeout=30)
        yield client


@pytest.fixture(scope="module")
def shared_pool(client: IrisClient) -> Iterator[WorkerPool]:
    """A pool of two workers for tests that leave it as they found it."""
    with WorkerPool(client, num_workers=2) as pool:
        pool.wait_for_workers(timeout=30)
        yield pool


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    """Starts a Python program in a session of its own; whatever is left of it is killed after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str, *, name: str = "driver.py", cwd: Path | None = None) -> subprocess.Popen[str]:
        path = tmp_path / name
        path.write_text(textwrap.dedent(source))
        process = subprocess.Popen(
            [sys.executable, "-W", "error", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd or tmp_path,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def finish(script: Script) -> Callable[..., tuple[int, str, str]]:
    """Runs a Python program to its end: exit code, stdout, stderr."""

    def run(source: str, *, timeout: float = 40, **options: object) -> tuple[int, str, str]:
        process = script(source, **options)
        out, err = process.communicate(timeout=timeout)
        return process.returncode, out, err

    return run


@pytest.fixture
def all_gone() -> Callable[[list[int], float], list[int]]:
    """Waits for processes to end; returns those that did not."""

    def wait(pids: list[int], timeout: float) -> list[int]:
        processes = []
        for pid in pids:
            try:
                processes.append(psutil.Process(pid))
            except psutil.NoSuchProcess:
                continue
        _, alive = psutil.wait_procs(processes, timeout)
        return [process.pid for process in alive if process.status() != psutil.STATUS_ZOMBIE]

    return wait
