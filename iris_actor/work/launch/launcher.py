"""Launcher: the contract between those who need processes and those who know how to start them.

A launcher starts *launches*: N replicas of one command. It knows nothing of actors, tasks or jobs. What a
Slurm launcher would do with ``sbatch --array`` / ``squeue`` / ``scancel``, and a Kubernetes one with an
indexed Job, fits the same few methods:

============================  =======================  =========================  =======================
here                          local                    Slurm                      Kubernetes
============================  =======================  =========================  =======================
`Launcher.launch(spec)`       N subprocesses           ``sbatch --array``         Job, ``completions=N``
`IRIS_TASK_INDEX`             set by the launcher      ``SLURM_ARRAY_TASK_ID``    ``JOB_COMPLETION_INDEX``
`Launch.poll()`               waitpid                  ``squeue`` / ``sacct``     pod status
`Launch.cancel(replica)`      SIGTERM, then SIGKILL    ``scancel``                delete pod with grace
`Launch.last_words(replica)`  pipe                     file on the shared disk    pod log
`Launch.recorded(replica)`    shared memory            None                       None
============================  =======================  =========================  =======================

Obligations of an implementation: all methods are thread-safe; `launch`, `poll` and `cancel` return without
waiting for processes; no replica outlives the launcher's `close`, and, as far as the system allows it, none
outlives the process that made the launcher.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Protocol, Self

from iris_actor.work.launch.resource_spec import ResourceSpec
from iris_actor.work.worker.flight_recorder import Recording

TASK_INDEX = "IRIS_TASK_INDEX"
"""Environment variable with a replica's index in its launch; every launcher sets it."""
NUM_TASKS = "IRIS_NUM_TASKS"
"""Environment variable with the number of replicas of the launch; every launcher sets it."""


class ReplicaState(Enum):
    """Where a replica is in its life."""

    PENDING = "pending"
    """Asked for; a cluster may let it wait."""
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """What to start.

    Attributes:
        name: what a person sees in the list of processes or in the cluster's queue.
        command: program and arguments.
        replicas: how many processes.
        env: environment variables beside those that the launcher passes on by itself.
        labels: a name for each replica in output and errors; ``name-0``, ``name-1`` … when empty.
        resources: what each replica needs.
        cwd: working directory; None for the launcher's default.

    Raises:
        ValueError: when replicas, command and labels do not fit together.
    """

    name: str
    command: tuple[str, ...]
    replicas: int = 1
    env: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    resources: ResourceSpec = field(default_factory=ResourceSpec)
    cwd: str | None = None

    def __post_init__(self) -> None:
        if not self.command:
            raise ValueError("LaunchSpec.command must name a program")
        if self.replicas < 1:
            raise ValueError(f"LaunchSpec.replicas must be 1 or more, got {self.replicas!r}")
        if self.labels and len(self.labels) != self.replicas:
            raise ValueError(
                f"LaunchSpec.labels must name each of {self.replicas} replicas, got {self.labels!r}"
            )

    def label(self, replica: int) -> str:
        """Name of a replica in output and errors."""
        return self.labels[replica] if self.labels else f"{self.name}-{replica}"


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """What is known of one replica.

    Attributes:
        state: where it is in its life.
        host: machine that runs or ran it; empty while unknown.
        pid: its process id there; 0 while unknown.
        exit_code: how it ended; None before, when a signal ended it, and when nothing is known.
        signal: name of the signal that ended it (``"SIGKILL"``), or None.
        reason: what the launcher knows beyond that, such as a cluster's ``OUT_OF_MEMORY``.
    """

    state: ReplicaState
    host: str = ""
    pid: int = 0
    exit_code: int | None = None
    signal: str | None = None
    reason: str = ""

    @property
    def how(self) -> str:
        """How it ended, in words that follow the name of the replica."""
        if self.state is not ReplicaState.ENDED:
            return f"is {self.state.value}"
        if self.signal is not None:
            text = f"was ended by {self.signal}"
        elif self.exit_code is not None:
            text = f"exited with code {self.exit_code}"
        else:
            text = "was lost"
        return f"{text} ({self.reason})" if self.reason else text


_FINAL = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EACCES,
        errno.EPERM,
        errno.ENOEXEC,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.E2BIG,
    }
)


def is_final(error: OSError) -> bool:
    """Whether a command that could not be started for `error` never will: it is the command that is wrong.

    A machine that is short of processes, memory or descriptors may have some later.
    """
    return error.errno in _FINAL


class Launch(Protocol):
    """The replicas of one spec. Thread-safe."""

    @property
    def spec(self) -> LaunchSpec:
        """What was started."""

    def poll(self) -> tuple[ReplicaStatus, ...]:
        """Status of each replica, as far as the launcher knows it now. Never waits."""

    def cancel(self, replica: int | None = None, *, grace: float = 5.0) -> None:
        """Ask a replica (None: all) to end, and kill it and its process group after `grace` seconds.

        Returns at once; `poll` shows the end. Idempotent; a shorter grace than before takes effect.
        """

    def last_words(self, replica: int) -> str:
        """The last lines that the replica wrote to stderr, as far as the launcher keeps them."""

    def recorded(self, replica: int) -> Recording | None:
        """What the replica last left in its flight recorder, also while it runs; None without a recorder."""


class Launcher(Protocol):
    """Starts launches. Thread-safe, a context manager."""

    @property
    def poll_interval(self) -> float:
        """Seconds between two polls that make sense; a change may be announced earlier by `notify`."""

    @property
    def python(self) -> tuple[str, ...]:
        """The command of an interpreter, with its flags, where the replicas run."""

    @property
    def bind_host(self) -> str:
        """Address that servers in the replicas bind to; loopback where they share the driver's machine."""

    @property
    def has_recorder(self) -> bool:
        """Whether `Launch.recorded` tells what a replica was at when it died."""

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

    def close(self) -> None:
        """End all replicas and wait for that. Idempotent."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None: ...
