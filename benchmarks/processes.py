"""Processes that the benchmarks start, and their end.

    runner ──pipe──> driver (one a peer: the client side) ──> server, or workers (the other side)

Each driver leads a process group, so that Ctrl-C in a terminal reaches the runner alone, which then ends the
groups it started. Whoever starts a process holds its stdin open: when the holder dies, however it dies, the
child sees the end of its input and goes as well.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
READY = "READY "
TOLD = "TOLD"
PREAMBLE = f"""\
import sys
x = int(sys.argv[1])
def tell(value):
    print("{TOLD}", value, flush=True)
"""
GRACE = 5.0


class ChildError(RuntimeError):
    """A child process ended, or fell silent, before it did what it was started for."""


def environment() -> dict[str, str]:
    """The environment of children: they and their own workers import `benchmarks` and `iris_actor`."""
    env = dict(os.environ)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    # One core a side is what the figures are about; numpy's pools would only disturb.
    env.setdefault("OMP_NUM_THREADS", "1")
    env.setdefault("OPENBLAS_NUM_THREADS", "1")
    return env


def end_with_parent() -> None:
    """Make this process end when the one that holds its stdin does; SIGTERM first, so that it cleans up."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        end_own_group()
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def end_own_group() -> None:
    """Kill this process with all that it has started, if it leads them. Forked workers of a pool would
    otherwise outlive it: each holds the pipe open whose end it waits for."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)


def announce(address: str) -> None:
    """Tell the parent that this server accepts calls, and where. Called once, by a server."""
    end_with_parent()
    print(f"{READY}{address}", flush=True)


def wait_for_end() -> None:
    """Block a server's main thread until it is told to go."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        signal.pause()


def tail(file: IO[bytes], lines: int = 3) -> str:
    """The last lines that a child wrote to its stderr: the reason, when it failed."""
    file.seek(0)
    text = file.read().decode(errors="replace").strip()
    return " | ".join(line.strip() for line in text.splitlines()[-lines:])


def wait_readable(file: IO[bytes], timeout: float) -> bool:
    """Whether `file` has something to say, or has ended, within `timeout` seconds."""
    # Not `select`: a client of hundreds of servers has descriptors with numbers beyond what that can name.
    with selectors.DefaultSelector() as selector:
        selector.register(file, selectors.EVENT_READ)
        return bool(selector.select(max(0.0, timeout)))


class ServerProcess:
    """`python -m module` in a process of its own, running from `READY address` until `stop`."""

    def __init__(self, module: str, *arguments: str, timeout: float = 30.0) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            cwd=ROOT,
            env=environment(),
        )
        try:
            self.address = self._read_address(time.monotonic() + timeout)
        except BaseException:
            self.stop()
            raise

    def _read_address(self, give_up_at: float) -> str:
        stdout = self._process.stdout
        assert stdout is not None
        while True:
            readable = wait_readable(stdout, give_up_at - time.monotonic())
            line = stdout.readline().decode() if readable else ""
            if not line:
                what = "ended" if readable else "was not ready in time"
                raise ChildError(f"server {what}: {tail(self._stderr)}")
            if line.startswith(READY):
                return line.removeprefix(READY).strip()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def host_and_port(self) -> tuple[str, int]:
        host, _, port = self.address.rpartition(":")
        return host, int(port)

    def stop(self) -> None:
        """End the server; twice does no harm."""
        stop_process(self._process)
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                stream.close()


class FreshProcess:
    """A program that starts, tells one int, and ends by itself. It has told when this is built.

    `code` finds the int it was given as `x`, and calls `tell(int)`.
    """

    def __init__(self, code: str, x: int, *, timeout: float = 60.0) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        self._process = subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + code, str(x)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            cwd=ROOT,
            env=environment(),
        )
        try:
            self.value = self._read_value(time.monotonic() + timeout)
        except BaseException:
            self.end(grace=0.0)
            raise

    def _read_value(self, give_up_at: float) -> int:
        stdout = self._process.stdout
        assert stdout is not None
        while True:
            readable = wait_readable(stdout, give_up_at - time.monotonic())
            line = stdout.readline().decode() if readable else ""
            if not line:
                what = "ended" if readable else "did not answer in time"
                raise RuntimeError(f"a fresh process {what}: {tail(self._stderr)}")
            if line.startswith(TOLD):
                return int(line.removeprefix(TOLD))

    def end(self, grace: float = 20.0) -> None:
        """Give the process time for its own end, then end it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace)
        stop_process(self._process)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._stderr.close()


def stop_process(process: subprocess.Popen[bytes], grace: float = GRACE) -> None:
    """SIGTERM, a grace, SIGKILL: to this one process."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class DriverProcess:
    """A peer's client side in a process of its own, which does one command at a time for the runner."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self._pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.driver", peer, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                cwd=ROOT,
                env=environment(),
                pass_fds=[theirs.fileno()],
                process_group=0,
            )

    def ask(self, *command: Any, timeout: float) -> Any:
        """Have the driver do one command and return its answer; its exceptions are raised here."""
        pipe: Connection[Any, Any] = self._pipe
        try:
            pipe.send(command)
            if not pipe.poll(timeout):
                raise ChildError(f"no answer within {timeout:.0f} s")
            answer = pipe.recv()
        except (EOFError, OSError) as error:
            raise ChildError(f"the driver ended: {tail(self._stderr)}") from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stop(self, *, politely: bool = True) -> None:
        """End the driver, and whatever of its process group is left after it; twice does no harm."""
        if self._process.poll() is None and politely:
            with contextlib.suppress(Exception):
                self.ask("stop", timeout=2 * GRACE)
                self._process.wait(GRACE)
        stop_process(self._process)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._pipe.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._stderr.close()
