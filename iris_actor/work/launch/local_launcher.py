"""LocalLauncher: replicas are processes on this machine, and none of them outlives this one.

::

    any thread ── launch/cancel ──▶ Popen (own session each) ──stdout, stderr──▶ OutputPump thread
                                      │ pidfd
    reaper thread ◀───────────────────┘  exit codes, SIGKILL when a grace is over, leftovers of the group
                  ── "+pid", "-pid" ──▶ guardian process: kills everything when this process is gone

Fresh interpreters are started with `subprocess`; a process with threads is never forked to run Python in the
child. The shutdown order is: SIGTERM to the replicas, grace, SIGKILL to their groups; the rest of their
output; the guardian, which sweeps up whatever left its group.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from iris_actor.threads.after_fork import ForkStage, at_fork
from iris_actor.threads.fork_guard import ForkGuard
from iris_actor.unpatched import DefaultSelector, Popen, check_threads
from iris_actor.work.launch.launcher import NUM_TASKS, TASK_INDEX, LaunchSpec, ReplicaStatus
from iris_actor.work.launch.local_replica import Replica, signal_name
from iris_actor.work.launch.oom_watch import OomWatch
from iris_actor.work.launch.output_pump import OutputPump, Sink, write_to_driver
from iris_actor.work.worker.flight_recorder import RECORDER_FD, FlightRecorder, Recording
from iris_actor.work.worker.memory_limit import MEMORY_LIMIT, reason_of_end
from iris_actor.work.worker.parent_watch import PARENT_PID

LAUNCH_IDS = "IRIS_LAUNCH_IDS"
"""Environment variable with the ids of the launchers that a process descends from, joined by ``:``."""

_THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_LAST_OUTPUT = 5.0
"""Seconds for which the driver's own stream may take nothing before the rest of an ended replica's output is
no longer waited for."""
_POLL = 0.05
"""Seconds between looks at processes that the system gives no pidfd for."""


class LocalLaunch:
    """The processes of one spec."""

    def __init__(self, launcher: LocalLauncher, spec: LaunchSpec, notify: Callable[[], None] | None) -> None:
        self._launcher = launcher
        self._spec = spec
        self._notify = notify
        self._replicas: list[Replica] = []

    @property
    def spec(self) -> LaunchSpec:
        """What was started."""
        return self._spec

    def poll(self) -> tuple[ReplicaStatus, ...]:
        """Status of each replica."""
        self._launcher._oom.look()
        return tuple(replica.status for replica in self._replicas)

    def cancel(self, replica: int | None = None, *, grace: float = 5.0) -> None:
        """SIGTERM now, SIGKILL to the process group after `grace` seconds."""
        chosen = self._replicas if replica is None else [self._replicas[replica]]
        self._launcher._cancel(chosen, grace)

    def last_words(self, replica: int) -> str:
        """The last lines that the replica wrote to stderr."""
        return self._replicas[replica].output.last_words

    def recorded(self, replica: int) -> Recording | None:
        """What the replica's flight recorder says."""
        return self._launcher._recorded(self._replicas[replica])


class LocalLauncher:
    """Starts processes on this machine that inherit its environment and working directory.

    Each is the leader of a session of its own, so Ctrl-C in the driver's terminal is the driver's to handle.
    When this process ends, in whatever way, its replicas and their descendants are killed.

    Args:
        sink: takes the replicas' output, ``sink("stdout", "[worker-0] text\\n")``, in one thread; by
            default it goes to this process's own streams.
        python: path of the interpreter that workers run; by default this one, with its flags. It must be of
            the same version, for workers use the modules that this process found.

    Thread-safe. In a forked child it starts and ends nothing.
    """

    poll_interval = 1.0
    bind_host = "127.0.0.1"
    has_recorder = True

    def __init__(self, *, sink: Sink = write_to_driver, python: str | os.PathLike[str] | None = None) -> None:
        self._python = None if python is None else _program(os.fspath(python))
        self._oom = OomWatch()
        self._id = uuid.uuid4().hex
        check_threads()
        self._guard = ForkGuard()  # asked before the lock, which the parent may have held at the fork
        self._lock = threading.Lock()  # guards all below, and every Replica
        self._pump = OutputPump(sink)
        self._guardian: subprocess.Popen[bytes] | None = None
        self._live: dict[int, tuple[Replica, LocalLaunch]] = {}
        self._fresh: list[Replica] = []
        self._closed = False
        self._stopped = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        # Now and not with the first launch: that may come when the interpreter exits.
        self._reaper = threading.Thread(target=self._reap, name="iris-local-launcher", daemon=True)
        self._reaper.start()

    @property
    def python(self) -> tuple[str, ...]:
        """The interpreter that was asked for, or this one with the flags it was started with.

        Raises:
            RuntimeError: nobody can tell which that is.
        """
        if self._python is not None:
            return (self._python,)
        if not sys.executable:
            raise RuntimeError(
                "sys.executable names no interpreter, as in programs that embed Python: say which one workers"
                " are to run, by IrisClient.local(launcher=LocalLauncher(python=...))"
            )
        flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        return (sys.executable, *flags)

    def launch(self, spec: LaunchSpec, *, notify: Callable[[], None] | None = None) -> LocalLaunch:
        """Start the replicas of `spec`; see `Launcher.launch`."""
        self._guard.check()
        launch = LocalLaunch(self, spec, notify)
        with self._lock:
            if self._closed:
                raise RuntimeError("the launcher is closed")
            self._start_helpers()
            try:
                for index in range(spec.replicas):
                    self._start_replica(launch, index)
            except OSError:
                self._cancel_locked(launch._replicas, 0.0)
                raise
        self._wake()
        return launch

    def close(self, grace: float = 5.0) -> None:
        """End all replicas, wait for their end, and kill what they left behind. Idempotent.

        Args:
            grace: seconds between SIGTERM and SIGKILL.
        """
        if self._guard.forked:
            return
        with self._lock:
            first, self._closed = not self._closed, True
            self._cancel_locked([replica for replica, _ in self._live.values()], grace)
        self._wake()
        if not first:
            self._stopped.wait()
            return
        self._reaper.join()
        if self._guardian is not None and self._guardian.stdin is not None:
            with suppress(OSError):
                self._guardian.stdin.close()
            self._guardian.wait()
        self._pump.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        _launchers.discard(self)
        self._stopped.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def _start_helpers(self) -> None:
        if self._guardian is None:
            guardian = Path(__file__).with_name("guardian.py")
            self._guardian = Popen(
                [sys.executable or self._python or "", "-I", "-S", str(guardian), str(os.getpid()), self._id],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
            _launchers.add(self)

    def _start_replica(self, launch: LocalLaunch, index: int) -> None:
        spec = launch.spec
        recorder = FlightRecorder()
        try:
            process = Popen(
                spec.command,
                env=self._environment(spec, index, recorder),
                cwd=spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                pass_fds=(recorder.fd,),
            )
        except OSError as error:
            recorder.close()
            raise _explained(error, spec) from error
        self._tell_guardian(f"+{process.pid}\n")
        assert process.stdout is not None  # noqa: S101 - asked for above
        assert process.stderr is not None  # noqa: S101
        fds = [os.dup(stream.fileno()) for stream in (process.stdout, process.stderr)]
        process.stdout.close()
        process.stderr.close()
        output = self._pump.add(spec.label(index), *fds)
        replica = Replica(process, output, recorder, spec.resources.memory_bytes)
        with suppress(AttributeError, OSError):
            replica.pidfd = os.pidfd_open(process.pid)
        launch._replicas.append(replica)
        self._oom.watch(process.pid)
        self._live[process.pid] = replica, launch
        self._fresh.append(replica)

    def _environment(self, spec: LaunchSpec, index: int, recorder: FlightRecorder) -> dict[str, str]:
        threads = str(max(1, int(spec.resources.cpu)))
        memory = spec.resources.memory_bytes
        above = os.environ.get(LAUNCH_IDS)
        return {
            **dict.fromkeys(_THREAD_LIMITS, threads),
            **os.environ,
            **spec.env,
            TASK_INDEX: str(index),
            NUM_TASKS: str(spec.replicas),
            RECORDER_FD: str(recorder.fd),
            PARENT_PID: str(os.getpid()),
            LAUNCH_IDS: f"{above}:{self._id}" if above else self._id,
            **({} if memory is None else {MEMORY_LIMIT: str(memory)}),
        }

    def _tell_guardian(self, line: str) -> None:
        if self._guardian is not None and self._guardian.stdin is not None:
            # A guardian that somebody killed is no reason to stop: replicas also watch their parent.
            with suppress(OSError, ValueError):
                self._guardian.stdin.write(line.encode())

    def _wake(self) -> None:
        with suppress(OSError):  # full: it is awake already; closed: nobody is there to wake
            os.write(self._wake_write, b".")

    def _cancel(self, replicas: Iterable[Replica], grace: float) -> None:
        if self._guard.forked:
            return
        with self._lock:
            self._cancel_locked(replicas, grace)
        self._wake()

    def _cancel_locked(self, replicas: Iterable[Replica], grace: float) -> None:
        for replica in replicas:
            kill_at = time.monotonic() + grace
            if replica.kill_at is None and grace > 0:
                replica.signal_group(signal.SIGTERM)
            if replica.kill_at is None or kill_at < replica.kill_at:
                replica.kill_at, replica.grace = kill_at, grace

    def _recorded(self, replica: Replica) -> Recording | None:
        with self._lock:
            return replica.recorded if replica.ended else replica.recorder.read()

    def _reap(self) -> None:
        """The reaper thread: until the launcher is closed and all replicas ended."""
        with DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            while True:
                with self._lock:
                    fresh, self._fresh = self._fresh, []
                    if self._closed and not self._live:
                        return
                    timeout = self._next_timeout()
                for replica in fresh:
                    if replica.pidfd is not None:
                        selector.register(replica.pidfd, selectors.EVENT_READ)
                if any(key.fd == self._wake_read for key, _ in selector.select(timeout)):
                    with suppress(OSError):
                        os.read(self._wake_read, 4096)
                for replica, launch in self._collect():
                    self._finish(selector, replica, launch)

    def _next_timeout(self) -> float | None:
        replicas = [replica for replica, _ in self._live.values()]
        if any(replica.pidfd is None for replica in replicas):
            return _POLL
        kills = [replica.kill_at for replica in replicas if replica.kill_at is not None]
        # After a SIGKILL its end comes by itself; a look each second repeats it for what forked meanwhile.
        now = time.monotonic()
        return min((at - now if at > now else 1.0 for at in kills), default=None)

    def _collect(self) -> list[tuple[Replica, LocalLaunch]]:
        """Kill those whose grace is over, and say which have ended."""
        ended = []
        now = time.monotonic()
        with self._lock:
            for replica, launch in self._live.values():
                if _has_ended(replica.process.pid):
                    ended.append((replica, launch))
                elif replica.kill_at is not None and replica.kill_at <= now:
                    replica.killed = True
                    replica.signal_group(signal.SIGKILL)
        return ended

    def _finish(self, selector: selectors.BaseSelector, replica: Replica, launch: LocalLaunch) -> None:
        killed = self._why_killed(replica)
        # What the replica left in its group goes with it; then its last output can come to an end.
        replica.signal_group(signal.SIGKILL)
        replica.output.wait_ended(_LAST_OUTPUT)
        with self._lock:
            replica.recorded = replica.recorder.read()
            replica.recorder.close()
            replica.process.wait()
            replica.reason = killed or _why_ended(replica, launch.spec)
            replica.ended = True
            del self._live[replica.process.pid]
            self._tell_guardian(f"-{replica.process.pid}\n")
        if replica.pidfd is not None:
            with suppress(KeyError):  # it ended before it was registered, and will not be
                selector.unregister(replica.pidfd)
            os.close(replica.pidfd)
            replica.pidfd = None
        self._oom.forget(replica.process.pid)
        if launch._notify is not None:
            launch._notify()

    def _why_killed(self, replica: Replica) -> str:
        """Why an ended replica got a SIGKILL, if it did and that is known."""
        pid = replica.process.pid
        with suppress(ChildProcessError):
            end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if end is not None and end.si_code == os.CLD_KILLED and end.si_status == signal.SIGKILL:
                if not replica.killed:
                    return self._oom.killed(pid)
                return f"killed {replica.grace:g} s after it was asked to end" if replica.grace else ""
        return ""


def _why_ended(replica: Replica, spec: LaunchSpec) -> str:
    """What is known of the end of a replica that was reaped, beyond its exit code or signal."""
    code, limit = replica.process.returncode, replica.memory_limit
    if limit is not None:
        reason = reason_of_end(limit, code, signal_name(-code) if code < 0 else None)
        if reason:
            return reason
    never_began = replica.recorded is None or replica.recorded.seq == 0
    if code > 0 and never_began and not replica.output.last_words:
        return f"{spec.command[0]} wrote nothing to stderr"
    return ""


def _program(path: str) -> str:
    """`path` as a process finds it that starts in another working directory."""
    return os.path.abspath(path) if os.sep in path else path  # noqa: PTH100 - a link to it is not followed


def _explained(error: OSError, spec: LaunchSpec) -> OSError:
    """`error` of a process that could not be started, with what it is about."""
    name, number, text = error.filename, error.errno, error.strerror or str(error)
    if number is None:
        return error
    if spec.cwd is not None and name == spec.cwd:
        return OSError(number, f"the working directory cannot be entered: {text}", name)
    return OSError(number, f"the program cannot be started: {text}", spec.command[0])


def _has_ended(pid: int) -> bool:
    """Whether our child has ended; it is left to be reaped."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # somebody else reaped it
        return True


_launchers: set[Any] = set()


def _release_in_child() -> None:
    """A forked child must not hold the pipe whose end tells the guardian that the driver is gone."""
    for launcher in _launchers:
        guardian = launcher._guardian
        if guardian is not None and guardian.stdin is not None:
            with suppress(OSError):
                guardian.stdin.close()
            guardian.returncode = 0  # it is not the child's to wait for
    _launchers.clear()


at_fork(ForkStage.HELD, in_child=_release_in_child)
