"""What is said of a worker that is no more."""

from __future__ import annotations

from iris_actor.errors import WorkerLostError
from iris_actor.work.launch.launcher import ReplicaStatus
from iris_actor.work.pool.config import WorkerPoolConfig
from iris_actor.work.pool.payload.task import Task
from iris_actor.work.pool.scheduler.actions import Lost
from iris_actor.work.pool.workers.worker_process import WorkerProcess


def describe_loss(
    process: WorkerProcess,
    status: ReplicaStatus | None,
    words: str,
    lost: Lost[Task],
    config: WorkerPoolConfig,
) -> str:
    """How a worker ended, in words that follow its name.

    Args:
        process: its process.
        status: what the launcher knows of that.
        words: the last lines that it wrote to stderr.
        lost: what the scheduler says.
        config: of the pool, which says how long it had to find a place, and to announce itself.
    """
    if lost.queued:
        why = f" ({status.reason})" if status is not None and status.reason else ""
        return f"found no place to run within {config.queue_timeout:g} s{why}"
    if lost.late:
        return f"did not announce itself within {config.start_timeout:g} s"
    if not lost.launched:
        return f"cannot be started: {process.error}"
    how = "was lost" if status is None else status.how
    if process.ended_for:
        how = f"was ended, because {process.ended_for}"
    if not lost.was_ready:
        how += " before it was ready" if process.link is None else " while it ran the initializer"
    if words:
        how += f"; its last words on stderr:\n{words}"
    return how


def lost_error(
    process: WorkerProcess, status: ReplicaStatus | None, words: str, task: Task
) -> WorkerLostError:
    """What the task ends with that was charged too often."""
    return WorkerLostError(
        process.name,
        exit_code=status.exit_code if status else None,
        signal=status.signal if status else None,
        attempts=task.deaths,
        stderr=words,
        host=status.host if status else "",
        pid=status.pid if status else 0,
        reason=status.reason if status else "",
    )
