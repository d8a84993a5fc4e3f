"""Launcher: the contract between those who need processes and those who know how to start them.

A launcher starts *launches*: N replicas of one command. It knows nothing of actors, tasks or jobs. What runs
the processes (this machine, Slurm, Kubernetes) is its *engine*.

============================  =======================  =========================  =======================
here                          local                    Slurm                      Kubernetes
============================  =======================  =========================  =======================
`Launcher.launch(spec)`       N subprocesses           ``sbatch``                 Job, ``completions=N``
`IRIS_TASK_INDEX`             set by the launcher      ``SLURM_ARRAY_TASK_ID``    ``JOB_COMPLETION_INDEX``
`LaunchSpec.secrets`          inherited descriptor     script on stdin            Secret, as a volume
`LaunchSpec.gang`             (always)                 one allocation, not array  (a scheduler for gangs)
`LaunchSpec.time_limit`       the launcher's thread    ``--time``                 ``activeDeadlineSeconds``
`Launch.poll()`               pidfd, waitid            ``squeue``                 pod status
`ReplicaStatus.reason`        (never waits)            ``%r`` of ``squeue``       condition of the pod
`Launch.cancel(replica)`      SIGTERM, then SIGKILL    ``scancel``                delete pod with grace
`Launch.logs(replica)`        pipes                    file on the shared disk    pod log
`Launch.recorded(replica)`    shared memory            None                       None
`Launch.ref`, `attach`        pids, start times        job id                     name of the Job
============================  =======================  =========================  =======================

Obligations of an implementation, which `iris_actor.testing.LauncherContract` tests:

- All methods are thread-safe. `launch`, `poll`, `cancel` and `attach` do not wait for processes, and `poll`
  does not wait for the engine: it tells what was known last, and since when.
- A failed question to the engine changes no status. What the engine has forgotten has ended, for an unknown
  cause, unless its end was seen before. A launch that the engine cannot be asked for now may be PENDING until
  it can be.
- An end is told by the cause that came first. A cancel of what has ended changes nothing.
- A time limit begins when a replica runs; time that it is PENDING does not count.
- Secrets are on no command line, in no environment, in no file that other users can read.
- `close` comes back in bounded time, also when the engine does not answer.
- No replica outlives the launcher's `close` and, as far as the engine allows it, the process that made the
  launcher.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

from iris_actor.errors import LauncherContractError
from iris_actor.work.launch.launch_spec import NUM_TASKS, TASK_INDEX, LaunchSpec
from iris_actor.work.launch.replica_status import Cause, ReplicaState, ReplicaStatus
from iris_actor.work.launch.start_errors import is_final
from iris_actor.work.process.flight_recorder import Recording

__all__ = [
    "LOCAL_TRAITS",
    "NUM_TASKS",
    "TASK_INDEX",
    "Cause",
    "Launch",
    "LaunchSpec",
    "Launcher",
    "LauncherTraits",
    "ReplicaState",
    "ReplicaStatus",
    "StreamName",
    "check_launch",
    "check_launcher",
    "is_final",
]

StreamName = Literal["stdout", "stderr"]
"""One of the two streams that a replica writes to."""


@dataclass(frozen=True, slots=True)
class LauncherTraits:
    """What is true of all launches of a launcher.

    Attributes:
        kind: name of the engine, such as ``"slurm"``; refs begin with it and a colon.
        poll_interval: seconds between two polls that make sense. A launcher that hears of a change earlier
            says so by `notify`.
        bind_host: address that servers in the replicas bind to; loopback where all replicas run on this
            machine.
        shares_memory: whether replicas share memory with this process, so that `Launch.recorded` tells what a
            replica is at.
        keeps_logs: whether `Launch.logs` has the last lines of a replica that has ended. Where no memory is
            shared, they tell what the replica was at (see `witness`); a pool without either gives each worker
            one task at a time.
        notice: seconds by which the launcher may be late to notice that a replica has ended by itself. A
            replica that cannot be reached is not cancelled before: that could hide of what it died.
        end_timeout: seconds after the end of its grace by which the end of a cancelled replica is known, when
            the engine answers. Nobody waits for longer than that.
    """

    kind: str
    poll_interval: float = 1.0
    bind_host: str = "127.0.0.1"
    shares_memory: bool = False
    keeps_logs: bool = True
    notice: float = 2.0
    end_timeout: float = 10.0


LOCAL_TRAITS = LauncherTraits(kind="local", shares_memory=True, notice=0.0)
"""The traits of a `LocalLauncher`."""


class Launch(Protocol):
    """The replicas of one spec. Thread-safe."""

    @property
    def ref(self) -> str:
        """By which another process finds the launch again (`Launcher.attach`).

        ``"<kind>:<whatever>"``, a line of printable text that holds no secret.
        """

    def poll(self) -> tuple[ReplicaStatus, ...]:
        """Status of each replica, as far as the launcher knows it now. Never waits."""

    def cancel(self, replica: int | None = None, *, attempt: int | None = None, grace: float = 5.0) -> None:
        """Ask a replica to end, and kill it and its process group after `grace` seconds.

        Returns at once; `poll` shows the end. Idempotent; a shorter grace than before takes effect. Where the
        engine does not answer, the launcher asks it again until it does.

        Args:
            replica: which one; None for all.
            attempt: does nothing unless the replica is in this attempt; None for whichever it is in.
            grace: seconds; 0 kills at once.
        """

    def logs(self, replica: int, stream: StreamName = "stderr", *, tail: int | None = None) -> str:
        """What a replica has written, as far as the launcher keeps it (`LauncherTraits.keeps_logs`).

        Once a replica is ENDED, its last lines are there. An engine may write both streams into one.

        Args:
            replica: which one.
            stream: to which stream.
            tail: how many of its last lines; None for all that is kept.
        """

    def recorded(self, replica: int) -> Recording | None:
        """What the replica last left in its flight recorder, also while it runs.

        None without `LauncherTraits.shares_memory`.
        """


class Launcher(Protocol):
    """Starts launches. Thread-safe, a context manager."""

    @property
    def traits(self) -> LauncherTraits:
        """What is true of all its launches."""

    @property
    def python(self) -> tuple[str, ...]:
        """The command of an interpreter, with its flags, where the replicas run."""

    def launch(self, spec: LaunchSpec, *, notify: Callable[[], None] | None = None) -> Launch:
        """Start the replicas of `spec`.

        Args:
            spec: what to start.
            notify: called, in a thread of the launcher's, when the status of a replica may have changed.
                It must neither block nor raise.

        Raises:
            OSError: the command cannot be started; `is_final` says whether another attempt is worth it.
            RuntimeError: the launcher is closed.
        """

    def attach(self, ref: str, *, notify: Callable[[], None] | None = None) -> Launch:
        """A launch that another process, or this one, has started.

        What the engine no longer knows has ended, for an unknown cause. To `close` a launcher does not end
        what it has attached to.

        Args:
            ref: its `Launch.ref`.
            notify: as for `launch`, if the launcher hears of such a launch at all; `poll` tells either way.

        Raises:
            ValueError: `ref` is none of this launcher's, or none that it can reach from here.
            RuntimeError: the launcher is closed.
        """

    def close(self) -> tuple[str, ...]:
        """End all replicas that were started here, and wait for that, for a bounded time. Idempotent.

        Returns:
            What may still run, since the engine did not say that it ended: a line of text for each.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None: ...


def check_launcher(launcher: object) -> None:
    """Raise LauncherContractError, (a TypeError), when `launcher` lacks a part of the contract."""
    _check(launcher, "launcher", ("traits", "python", "launch", "attach", "close", "__enter__", "__exit__"))


def check_launch(launch: object) -> None:
    """Raise LauncherContractError, (a TypeError), when `launch` lacks a part of the contract."""
    _check(launch, "launch", ("ref", "poll", "cancel", "logs", "recorded"))


def _check(obj: object, what: str, members: tuple[str, ...]) -> None:
    # The class is asked: to read a property of the object would run its code.
    own = getattr(obj, "__dict__", ())
    missing = [name for name in members if not hasattr(type(obj), name) and name not in own]
    if missing:
        raise LauncherContractError(what, type(obj).__qualname__, missing)
