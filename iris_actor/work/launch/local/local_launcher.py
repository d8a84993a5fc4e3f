"""LocalLauncher: replicas are processes on this machine, and none of them outlives this one.

::

    any thread ── launch ──▶ Popen (a session each) ──stdout, stderr──▶ OutputPump thread
               ── cancel ──▶ Reaper thread: exit codes, limits, SIGKILL when a grace is over
                                │
                                └─ "+pid", "-pid" ──▶ guardian process: kills all when this process is gone

Fresh interpreters are started with `subprocess`; a process with threads is never forked to run Python in the
child. The shutdown order is: SIGTERM to the replicas, grace, SIGKILL to their groups; the rest of their
output; the guardian, which sweeps up whatever left its group.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

from iris_actor.threads.fork_guard import ForkGuard
from iris_actor.unpatched import check_threads
from iris_actor.work.launch.launch_spec import LaunchSpec
from iris_actor.work.launch.launcher import LOCAL_TRAITS, Launch
from iris_actor.work.launch.local.attached_launch import AttachedLaunch
from iris_actor.work.launch.local.guardian import SWEEP
from iris_actor.work.launch.local.guardian_process import GuardianProcess
from iris_actor.work.launch.local.local_launch import LocalLaunch
from iris_actor.work.launch.local.process_ref import read_ref
from iris_actor.work.launch.local.reaper import Reaper
from iris_actor.work.launch.local.replica import Replica
from iris_actor.work.launch.local.start_process import start_process
from iris_actor.work.launch.output.output_pump import OutputPump, Sink, write_to_driver


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

    traits = LOCAL_TRAITS
    """See `Launcher`."""

    def __init__(self, *, sink: Sink = write_to_driver, python: str | os.PathLike[str] | None = None) -> None:
        self._python = None if python is None else _program(os.fspath(python))
        check_threads()
        self._id = uuid.uuid4().hex
        self._guard = ForkGuard()  # asked before any lock, which the parent may have held at the fork
        self._pump = OutputPump(sink)
        self._guardian = GuardianProcess(self._id)
        self._reaper = Reaper(self._guardian)
        self._lock = threading.Lock()  # guards what follows
        self._launches: WeakValueDictionary[str, LocalLaunch] = WeakValueDictionary()
        self._closing = False
        self._closed = threading.Event()
        self._left: tuple[str, ...] = ()

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
        flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
        return (sys.executable, *flags)

    def launch(self, spec: LaunchSpec, *, notify: Callable[[], None] | None = None) -> LocalLaunch:
        """Start the replicas of `spec`; see `Launcher.launch`."""
        self._guard.check()
        launch = LocalLaunch(spec, self._reaper, self._start, notify)
        with self._lock:
            self._launches[launch.ref] = launch
        return launch

    def _start(self, spec: LaunchSpec, index: int) -> Replica:
        self._guardian.start(sys.executable or self._python or "")
        process, recorder, (stdout, stderr) = start_process(spec, index, self._id)
        return Replica(
            spec.label(index),
            process,
            self._pump.add(spec.label(index), stdout, stderr),
            recorder,
            program=spec.command[0],
            memory_limit=spec.resources.memory_bytes,
            time_limit=spec.time_limit,
        )

    def attach(self, ref: str, *, notify: Callable[[], None] | None = None) -> Launch:
        """See `Launcher.attach`. Of a launch of another process it tells neither exit codes nor logs.

        Such a launch calls no `notify`.
        """
        self._guard.check()
        processes = read_ref(ref)
        with self._lock:
            if self._closing:
                raise RuntimeError("the launcher is closed")
            own = self._launches.get(ref)
        if own is None:
            return AttachedLaunch(ref, processes)
        if notify is not None:
            own.notify_also(notify)
        return own

    def close(self, grace: float = 5.0) -> tuple[str, ...]:
        """End all replicas, wait for their end, and kill what they left behind. Idempotent.

        Args:
            grace: seconds between SIGTERM and SIGKILL.

        Returns:
            Those that could not be ended, as a process in an uninterruptible system call.
        """
        if self._guard.forked:
            return ()
        patience = self.traits.end_timeout
        with self._lock:
            first, self._closing = not self._closing, True
        if not first:
            self._reaper.close(grace, 0.0)  # a shorter grace than before takes effect
            self._closed.wait(grace + patience + 2 * SWEEP)
            return self._left
        self._left = self._reaper.close(grace, patience)
        self._guardian.close()
        self._pump.close()
        self._closed.set()
        return self._left

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


def _program(path: str) -> str:
    """`path` as a process finds it that starts in another working directory."""
    return os.path.abspath(path) if os.sep in path else path  # noqa: PTH100 - a link to it is not followed
