"""The status of a pool, put together from what its engine knows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from iris_actor.work.launch.replica_status import ReplicaState
from iris_actor.work.pool.monitor.pool_status import (
    Failure,
    PoolStatus,
    TaskCounts,
    WorkerCounts,
    WorkerInfo,
    WorkerState,
)
from iris_actor.work.pool.payload.task import Task
from iris_actor.work.pool.scheduler.scheduler import Scheduler
from iris_actor.work.pool.scheduler.slot import Slot, SlotState
from iris_actor.work.pool.workers.worker_process import WorkerProcess, worker_name


def status_report(
    name: str,
    scheduler: Scheduler[Task],
    process_of: Callable[[int], WorkerProcess | None],
    counts: tuple[int, int, tuple[Failure, ...]],
    broken: str | None,
) -> PoolStatus:
    """What a pool looks like now. Called with the pool's lock.

    Args:
        name: the pool's name.
        scheduler: of the pool.
        process_of: gives the process of a number.
        counts: how many tasks ended with a value, and with an exception; and the latest failures.
        broken: why the pool can run nothing any more.
    """
    queued = len(scheduler.waiting())
    infos = tuple(
        _info(slot, process_of(slot.process))
        for slot in sorted(scheduler.crew.slots, key=lambda slot: slot.index)
    )
    done, failed, failures = counts
    tasks = TaskCounts(queued, sum(info.tasks for info in infos), done, failed)
    states = Counter(info.state for info in infos)
    workers = WorkerCounts(
        idle=states[WorkerState.IDLE],
        busy=states[WorkerState.BUSY],
        pending=states[WorkerState.PENDING],
        failed=states[WorkerState.FAILED],
    )
    return PoolStatus(name, workers, tasks, infos, broken, failures, scheduler.sizing.bounds)


def _info(slot: Slot[Task], process: WorkerProcess | None) -> WorkerInfo:
    load = slot.load
    pid, host, waiting_for, running = 0, "", "", None
    if process is not None:
        link = process.link
        # Without a link the launcher is asked, about the whole launch.
        status = process.status if link is None else None
        known = link if status is None else status
        pid, host = (known.pid, known.host) if known is not None else (0, "")
        if status is not None and status.state is ReplicaState.PENDING:
            waiting_for = status.reason or "a place to run"
        running = load.running(process.recording) if load.outstanding else None
    return WorkerInfo(
        name=worker_name(slot.index),
        state=_state(slot),
        pid=pid,
        host=host,
        restarts=slot.restarts,
        tasks=len(load.outstanding),
        task=running.task.name if running else None,
        running_for=max(0.0, time.monotonic() - running.since) if running else 0.0,
        done=slot.done,
        failed=slot.failed,
        waiting_for=waiting_for,
    )


def _state(slot: Slot[Task]) -> WorkerState:
    if slot.state is SlotState.FAILED:
        return WorkerState.FAILED
    if slot.retiring or slot.state is SlotState.ENDING:
        return WorkerState.ENDING
    if slot.state is SlotState.READY:
        return WorkerState.BUSY if slot.load.is_busy else WorkerState.IDLE
    return WorkerState.PENDING
