"""The command line, run in this process and in processes of its own, and actors for it to find."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from iris_actor import ActorServer
from iris_actor.cli import main
from iris_actor.testing import EtcdProcess
from tests.support.processes import ROOT


@dataclass
class Ran:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ran]
Host = Callable[..., ActorServer]
Start = Callable[..., "subprocess.Popen[str]"]


class Calculator:
    """Adds and divides."""

    def add(self, a: float, b: float = 0) -> float:
        """The sum of `a` and `b`."""
        return a + b

    def divide(self, a: float, b: float) -> float:
        return a / b

    def echo(self, *args: Any, **kwargs: Any) -> Any:
        return [list(args), kwargs]

    async def later(self) -> str:
        return "later"

    def countdown(self, start: int) -> Iterator[int]:
        """Numbers down to 1."""
        yield from range(start, 0, -1)

    def opaque(self) -> object:
        return object()


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own environment changes what a command does or how it prints."""
    for variable in ("IRIS_REGISTRY", "IRIS_JOB_ID", "IRIS_TOKEN", "IRIS_TOKEN_FILE", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def bare_cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs ``iris-actor`` with these arguments in this process."""

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["iris-actor", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Ran(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def cli(bare_cli: Cli, etcd: EtcdProcess, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs ``iris-actor`` against the test's namespace in the real etcd."""
    monkeypatch.setenv("IRIS_REGISTRY", etcd.url)

    def run(command: str, *arguments: str) -> Ran:
        return bare_cli(command, "--namespace", namespace, *arguments)

    return run


@pytest.fixture
def host(etcd: EtcdProcess, namespace: str) -> Iterator[Host]:
    """Serves an actor, by default a `Calculator`, in this process until the test ends."""
    with ExitStack() as stack:

        def serve(
            name: str = "calculator", actor: Any = None, *, credentials: Any = None, **register: Any
        ) -> ActorServer:
            server = ActorServer(etcd.url, namespace=namespace, credentials=credentials)
            stack.callback(server.stop)
            server.register(name, actor or Calculator(), **register)
            server.serve_background()
            return server

        yield serve


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts ``iris-actor`` in a process; whatever still runs after the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, cwd: Path = ROOT) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "iris_actor.cli", *arguments],
            cwd=cwd,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
