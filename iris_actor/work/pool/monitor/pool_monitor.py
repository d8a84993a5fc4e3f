"""PoolMonitor: lets others look at a pool while it runs, as ``iris-actor pool`` does.

::

    iris-actor pool ── call ──▶ actor _workerpool/<pool>/monitor ── status() ──▶ the pool
         │                         │ announced in
         └──── finds it in ──── the registry, and a file of this user's (`PoolDirectory`)

A pool that nobody can look at works as well as any other: what goes wrong here is logged, and no more.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from iris_actor.actor.resolver import Resolver
from iris_actor.actor.server import ActorServer
from iris_actor.deadline import Deadline
from iris_actor.rpc.credentials import Credentials
from iris_actor.work.pool.monitor.pool_directory import PoolDirectory, PoolEntry
from iris_actor.work.pool.monitor.pool_status import (
    Failure,
    PoolStatus,
    TaskCounts,
    WorkerCounts,
    WorkerInfo,
    WorkerState,
)
from iris_actor.work.process.process_secrets import new_secret
from iris_actor.work.site import Site
from iris_actor.work.worker.worker_main import actor_name

T = TypeVar("T")

MONITOR = "monitor"
"""What the monitor is called, among the workers of its pool."""

_PATIENCE = 1.0
"""Seconds that `PoolMonitor.stop` waits for a start that is still under way."""

_log = logging.getLogger(__name__)


def monitor_name(pool: str) -> str:
    """Name under which the monitor of a pool is registered."""
    return actor_name(pool, MONITOR)


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """A pool as its driver saw it at one moment.

    Attributes:
        status: the pool.
        host: the driver's machine.
        pid: the driver's process id there.
        at: when, in seconds since the epoch, by the driver's clock.
        age: seconds since the pool was made.
    """

    status: PoolStatus
    host: str
    pid: int
    at: float
    age: float

    def fields(self) -> dict[str, Any]:
        """Plain data that JSON can hold, those of the status at the top."""
        fields = dataclasses.asdict(self)
        status = fields.pop("status")
        for info in status["worker_infos"]:
            info["state"] = info["state"].value
        for failure in status["failures"]:
            failure["text"] = _sendable(failure["text"])
        if self.status.broken is not None:
            status["broken"] = _sendable(self.status.broken)
        return {**status, **fields}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """The snapshot that `fields` returned; what a newer driver says beyond it is left out.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        status = _make(
            PoolStatus,
            fields,
            workers=_make(WorkerCounts, fields["workers"]),
            tasks=_make(TaskCounts, fields["tasks"]),
            worker_infos=tuple(
                _make(WorkerInfo, info, state=WorkerState(info["state"])) for info in fields["worker_infos"]
            ),
            failures=tuple(_make(Failure, failure) for failure in fields["failures"]),
            bounds=tuple(fields["bounds"]),
        )
        return _make(cls, fields, status=status)


def _sendable(text: str) -> str:
    # A user's exception may quote a file name that is no Unicode, which no terminal and no file would take.
    return text.encode(errors="replace").decode()


def _make(cls: type[T], fields: Mapping[str, Any], **converted: Any) -> T:
    known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(**{**{key: value for key, value in fields.items() if key in known}, **converted})


class MonitorActor:
    """What others see of a `WorkerPool`."""

    def __init__(self, status: Callable[[], PoolStatus]) -> None:
        self._status = status
        self._since = time.monotonic()

    def status(self) -> dict[str, Any]:
        """The pool as it is now: its workers, its tasks, its latest failures."""
        snapshot = PoolSnapshot(
            status=self._status(),
            host=socket.gethostname(),
            pid=os.getpid(),
            at=time.time(),
            age=time.monotonic() - self._since,
        )
        return snapshot.fields()


class PoolMonitor:
    """Serves the status of one pool. `start` and `stop` may be called from any thread, and never raise.

    Callers must show the credentials of the site, or a random token where it has none that a server can
    use; the user who runs the pool finds either in a file of his own.

    Args:
        site: of the pool: tells where to announce the monitor and where its server binds.
        pool_name: the pool's name.
        status: tells what the pool looks like, in any thread.
    """

    def __init__(self, site: Site, pool_name: str, status: Callable[[], PoolStatus]) -> None:
        self._site = site
        self._pool = pool_name
        self._actor = MonitorActor(status)
        self._made_at = time.time()
        self._lock = threading.Lock()  # guards what follows
        self._thread: threading.Thread | None = None
        self._server: ActorServer | None = None
        self._file: Path | None = None
        self._stopped = False

    def start(self) -> None:
        """Serve soon; returns at once, however long the registry takes to answer. Idempotent."""
        with self._lock:
            if self._stopped or self._thread is not None:
                return
            name = f"iris-pool-monitor-{self._pool}"
            self._thread = thread = threading.Thread(target=self._serve, name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the process may have no more threads, or is about to exit
                self._stopped, self._thread = True, None
                _log.warning("pool %r cannot be watched: %s", self._pool, error)

    def wait_seen(self, resolver: Resolver) -> None:
        """Wait, for a bounded time, until `resolver` has heard of the monitor in the registry."""
        thread = self._thread
        if thread is None:
            return
        deadline = Deadline.after(_PATIENCE)
        thread.join(deadline.remaining)
        seen = threading.Event()
        unsubscribe = resolver.subscribe(monitor_name(self._pool), seen.set)
        try:
            if resolver.resolve(monitor_name(self._pool)).is_empty:
                seen.wait(deadline.remaining)
        finally:
            unsubscribe()

    def stop(self) -> None:
        """Serve no more. Idempotent."""
        with self._lock:
            self._stopped = True
            thread = self._thread
            server, self._server = self._server, None
            file, self._file = self._file, None
        if thread is not None:
            thread.join(_PATIENCE)  # it ends the server itself when it comes to that
        self._end(server, file)

    def _end(self, server: ActorServer | None, file: Path | None) -> None:
        # The file goes first: who finds no server and no file knows that the pool has ended.
        if file is not None:
            with suppress(OSError):
                file.unlink()
        if server is not None:
            try:
                server.stop()
            except Exception:
                _log.warning("the monitor of pool %r did not end cleanly", self._pool, exc_info=True)

    # --- the thread, which ends when the server runs --------------------------------------------------

    def _serve(self) -> None:
        server: ActorServer | None = None
        try:
            credentials = self._credentials()
            server = ActorServer(
                self._site.registry_url,
                namespace=self._site.namespace,
                host=self._site.launcher.traits.bind_host,
                credentials=credentials,
            )
            server.register(monitor_name(self._pool), self._actor, _framework=True)
            server.serve_background()
        except Exception as error:
            if not self._stopped:
                _log.warning("pool %r cannot be watched: %s", self._pool, error)
            self._end(server, None)
            return
        entry = PoolEntry.of_this_process(
            self._pool,
            f"{self._site.namespace}/{monitor_name(self._pool)}",
            server.address,
            self._made_at,
            credentials,
        )
        with self._lock:
            if not self._stopped:
                self._server, self._file = server, self._announce(entry)
                return
        self._end(server, None)

    def _credentials(self) -> Credentials:
        own = self._site.credentials
        # One that only checks servers' certificates has none to show as a server.
        if own is not None and (own.cert is not None or not own.uses_tls):
            return own
        return Credentials(token=new_secret())

    def _announce(self, entry: PoolEntry) -> Path | None:
        try:
            return PoolDirectory().add(entry)
        except OSError as error:
            _log.warning("pool %r can be found through the registry only: %s", self._pool, error)
            return None
