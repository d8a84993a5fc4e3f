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
    """

    name: str
    state: WorkerState
    pid: int
    host: str
    restarts: int
    tasks: int


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
class PoolStatus:
    """A pool at one moment.

    Attributes:
        name: the pool's name.
        workers: counts by state.
        tasks: counts by state.
        worker_infos: each worker.
        broken: why the pool can no longer run anything; None while it can.
    """

    name: str
    workers: WorkerCounts
    tasks: TaskCounts
    worker_infos: tuple[WorkerInfo, ...] = ()
    broken: str | None = None
