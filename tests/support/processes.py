"""Servers and scripts in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]


def python(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A Python process in the project's folder, with text pipes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    environment.update(options.pop("env", {}))
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, text=True, env=environment, **options)


def run_script(source: str, *arguments: str, timeout: float = 30) -> str:
    """Standard output of a script that must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class ServerProcess:
    """A process that hosts a `Lab` (tests/support/lab.py); its `address` is known once this returns.

    Args:
        registry: registry URL, or None to announce nothing.
        namespace: namespace of the actor.
        name: actor name.
        port: port to bind; 0 for a free one.
        drain_timeout: what SIGTERM grants to accepted calls.
    """

    def __init__(
        self,
        registry: str | None = None,
        *,
        namespace: str = "test",
        name: str = "actor",
        port: int = 0,
        drain_timeout: float = 20.0,
    ) -> None:
        self._arguments = [
            "-m",
            "tests.support.lab",
            f"--registry={registry or ''}",
            f"--namespace={namespace}",
            f"--name={name}",
            f"--drain-timeout={drain_timeout}",
        ]
        self._start(port)

    def _start(self, port: int) -> None:
        self.process = python(*self._arguments, f"--port={port}")
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line.startswith("serving "):
            self.close()
            raise AssertionError(f"the server did not start, it said {line!r}")
        self.address = line.removeprefix("serving ")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.address.rpartition(":")[2])

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait(10)

    def terminate(self) -> None:
        """SIGTERM: asks it to drain."""
        self.process.terminate()

    def pause(self) -> None:
        """SIGSTOP, and wait until every thread has stopped: the signal alone is not waited for."""
        os.kill(self.pid, signal.SIGSTOP)
        until(self._stopped)

    def _stopped(self) -> bool:
        threads = Path(f"/proc/{self.pid}/task").glob("*/stat")
        return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in threads)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """SIGKILL, then another process on the same port."""
        port = self.port
        self.close()
        self._start(port)

    def wait(self, timeout: float = 20) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(timeout)

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()
