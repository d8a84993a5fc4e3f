"""EtcdProcess: a real etcd on this machine, for development and tests.

Its ports are reserved as long as the object lives, so that it comes back on the same ones. It ends with this
process, also by SIGKILL (`supervisor`), and so does the temporary folder with its data.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from iris_actor.address import Address
from iris_actor.deadline import Deadline
from iris_actor.errors import RegistryError, RegistryUnavailableError
from iris_actor.etcd.process.binary import find_etcd
from iris_actor.etcd.process.log import why_it_ended
from iris_actor.etcd.process.options import environment, server_options
from iris_actor.etcd.process.ready_socket import ReadySocket
from iris_actor.etcd.process.reserved_port import ReservedPort
from iris_actor.etcd.process.supervised_process import SupervisedProcess
from iris_actor.threads.fork_guard import ForkGuard

LOG_LINES = 15
"""Lines of the log that are worth quoting."""
STOP_GRACE = 5.0
"""Seconds that etcd gets to close data that are kept."""


class EtcdProcess:
    """One etcd, listening on 127.0.0.1. Thread-safe; ``with EtcdProcess() as etcd`` starts and stops it.

    Args:
        data_dir: folder for the data, kept afterwards. None takes a temporary one that is removed.
        port: to serve clients on; 0 has the kernel choose.
        options: further command-line options of etcd by name, without the dashes; they win over ours.
        start_timeout: seconds until etcd must be ready.

    Raises:
        InvalidAddressError: (a ValueError) `port` is none.
        AddressInUseError: (an OSError) the port is taken.
        AddressUnusableError: (an OSError) this process may not have it.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        port: int = 0,
        *,
        options: Mapping[str, str] | None = None,
        start_timeout: float = 20.0,
    ) -> None:
        address = Address("127.0.0.1", port)
        try:
            self._port = ReservedPort(port)
        except OSError as error:
            raise address.bind_error(error) from None
        self._peer_port = ReservedPort()
        self._data_dir = None if data_dir is None else Path(data_dir)
        self._options = dict(options or {})
        self._start_timeout = start_timeout
        self._guard = ForkGuard()
        self._lock = threading.RLock()  # guards what follows; held while etcd starts and stops
        self._folder: Path | None = None
        self._process: SupervisedProcess | None = None
        self._stopped = False

    @property
    def port(self) -> int:
        """Port that clients connect to; the same over restarts."""
        return self._port.number

    @property
    def url(self) -> str:
        """Registry URL, ``etcd://127.0.0.1:port``."""
        return f"etcd://127.0.0.1:{self.port}"

    @property
    def client_url(self) -> str:
        """What etcdctl takes as ``--endpoints``."""
        return f"{'https' if 'cert-file' in self._options else 'http'}://127.0.0.1:{self.port}"

    @property
    def peer_url(self) -> str:
        """What other members of a cluster call it by."""
        return f"http://127.0.0.1:{self._peer_port.number}"

    @property
    def running(self) -> bool:
        """Whether etcd runs; a paused one does."""
        process = self._process
        return process is not None and process.running

    @property
    def pid(self) -> int | None:
        """Process id of etcd; None while it is not running."""
        process = self._process
        return process.pid if process is not None and process.running else None

    @property
    def log_path(self) -> Path | None:
        """File with etcd's log, gone after `stop`; None before the first start."""
        return None if self._folder is None else self._folder / "etcd.log"

    def start(self, *, wait: bool = True, options: Mapping[str, str] | None = None) -> Self:
        """Start etcd, unless it runs, and wait until it is ready.

        Args:
            wait: False returns before it is ready: members of a cluster wait for each other.
            options: further command-line options from now on; they win over those given before.

        Raises:
            EtcdNotFoundError: (a RuntimeError) there is no etcd binary.
            RegistryUnavailableError: etcd does not start; the message says why, in the words of its log.
            RegistryError: it was stopped for good.
        """
        self._guard.check()
        binary = find_etcd()
        with self._lock:
            if self._stopped:
                raise RegistryError("this EtcdProcess is stopped; make a new one")
            if self.running:
                return self
            self.kill()
            self._options |= options or {}
            folder = self._folder = self._folder or Path(tempfile.mkdtemp(prefix="iris-etcd-"))
            options = server_options(self.client_url, self.peer_url, self._data_dir, folder, self._options)
            command = [binary, *(f"--{name}={value}" for name, value in options.items())]
            with ReadySocket(folder) as ready:
                try:
                    self._process = SupervisedProcess(
                        command,
                        log=folder / "etcd.log",
                        remove=folder,
                        environment={**environment(), "NOTIFY_SOCKET": ready.address},
                    )
                    if wait:
                        self._wait_ready(ready, self._process)
                except BaseException:
                    self.kill()
                    raise
        return self

    def _wait_ready(self, ready: ReadySocket, process: SupervisedProcess) -> None:
        deadline = Deadline.after(self._start_timeout)
        if ready.wait(process.events, deadline):
            return
        what = "ended while it started"
        if deadline.passed:
            what = f"was not ready within {self._start_timeout:g} s"
        why = why_it_ended(self._log_text())
        raise RegistryUnavailableError(self.url, f"{process.program} {what}: {why}")

    def log_lines(self, most: int = LOG_LINES) -> list[str]:
        """The last lines of etcd's log.

        Args:
            most: how many.
        """
        return self._log_text().strip().splitlines()[-most:]

    def _log_text(self) -> str:
        path = self.log_path
        if path is None or not path.exists():
            return ""
        # To an option that it does not understand etcd adds pages of help.
        return path.read_text(errors="replace").partition("\nUsage:")[0]

    def stop(self) -> None:
        """Stop etcd, let its ports go, and remove its temporary folder. Idempotent."""
        if self._guard.forked:
            return
        with self._lock:
            self._stopped = True
            self._end(signal.SIGKILL if self._data_dir is None else signal.SIGTERM)
            self._port.close()
            self._peer_port.close()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """End etcd with SIGKILL. Its data and ports stay, for `start`. Idempotent.

        Raises:
            ForkedProcessError: in a process forked from the one that made this, as for all that is done to
                a running etcd.
        """
        self._guard.check()
        with self._lock:
            self._end(signal.SIGKILL)

    def restart(self, *, wipe: bool = False) -> None:
        """End etcd with SIGKILL, and start it again on the same ports.

        Args:
            wipe: with its data lost.

        Raises:
            RegistryUnavailableError: etcd does not start.
        """
        self._guard.check()
        with self._lock:
            self.kill()
            if wipe and self._folder is not None:
                shutil.rmtree(self._data_dir or self._folder / "data", ignore_errors=True)
            self.start()

    def pause(self) -> None:
        """SIGSTOP: when this returns, etcd keeps its connections, and says nothing.

        Raises:
            RegistryError: it does not run.
        """
        self._guard.check()
        with self._lock:
            self._running().pause()

    def resume(self) -> None:
        """SIGCONT: etcd goes on after `pause`.

        Raises:
            RegistryError: it does not run.
        """
        self._guard.check()
        with self._lock:
            self._running().resume()

    def _running(self) -> SupervisedProcess:
        if self._process is None or not self._process.running:
            raise RegistryError("etcd is not running")
        return self._process

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end(number, STOP_GRACE)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<EtcdProcess {self.url}{'' if self.running else ' (not running)'}>"
