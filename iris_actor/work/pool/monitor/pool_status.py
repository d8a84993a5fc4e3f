"""PoolStatus: what a pool looks like at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class WorkerState(Enum):
    """Where a worker is in its life."""

    PENDING = "pending"
    """Its process is being started, restarted, or runs the initializer."""
    IDLE = "idle"
    BUSY = "busy"
    FAILED = "failed"
    """It died too often without a task to blame; it is not started again."""
    ENDING = "ending"
    """It is leaving: the pool shrinks or shuts down."""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One worker.

    Attributes:
        name: ``worker-<i>``, as in its lines of output; a replacement keeps the name.
        state: where it is in its life.
        pid: its process id; 0 while unknown.
        host: its machine; empty while unknown.
        restarts: how often it was replaced.
        tasks: how many tasks are with it, running or waiting there.
        task: name of the function that it runs; None while it runs none, or nobody can tell.
        running_for: seconds for which it has run that.
        done: tasks that ended with a value there, its predecessors of that name included.
        failed: tasks that ended with an exception there.
        waiting_for: why a cluster lets it wait for its place, in the cluster's words, such as ``Priority``;
            empty when it does not wait.
    """

    name: str
    state: WorkerState
    pid: int
    host: str
    restarts: int
    tasks: int
    task: str | None = None
    running_for: float = 0.0
    done: int = 0
    failed: int = 0
    waiting_for: str = ""


@dataclass(frozen=True, slots=True)
class WorkerCounts:
    """How many workers are in which state."""

    idle: int = 0
    busy: int = 0
    pending: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """How many tasks are where. With ``map(chunksize=n)`` a task is a chunk.

    Attributes:
        queued: not yet with a worker.
        running: with a worker.
        done: ended with a value, since the pool was made.
        failed: ended with an exception, since the pool was made.
    """

    queued: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that ended with an exception, or a worker that was lost.

    Attributes:
        at: when, in seconds since the epoch.
        worker: where; empty for a task that no worker had.
        task: name of the function; None for a worker that ran none.
        text: what happened, in one line.
    """

    at: float
    worker: str
    task: str | None
    text: str


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A pool at one moment.

    Attributes:
        name: the pool's name.
        workers: counts by state.
        tasks: counts by state.
        worker_infos: each worker.
        broken: why the pool can no longer run anything; None while it can.
        failures: the latest failures, oldest first; some tens are kept.
        bounds: the least and the most workers that the pool may have.
    """

    name: str
    workers: WorkerCounts
    tasks: TaskCounts
    worker_infos: tuple[WorkerInfo, ...] = ()
    broken: str | None = None
    failures: tuple[Failure, ...] = ()
    bounds: tuple[int, int] = (1, 1)
