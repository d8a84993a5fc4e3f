"""PoolLog: what becomes of a pool and its workers, for the log of whoever operates it.

Nearly all of it is INFO: a program that configures no logging learns of what matters from its futures.
"""

from __future__ import annotations

import logging
from typing import Any

from iris_actor.work.launch.replica_status import ReplicaStatus
from iris_actor.work.pool.scheduler.actions import Lost
from iris_actor.work.pool.workers.worker_process import WorkerProcess

_log = logging.getLogger(__name__)


class PoolLog:
    """Of one pool. Thread-safe.

    Args:
        pool: the pool's name.
    """

    def __init__(self, pool: str) -> None:
        self._pool = pool

    def ready(self, process: WorkerProcess) -> None:
        """A worker takes tasks."""
        link = process.link
        where = "" if link is None else f" (pid {link.pid} on {link.host})"
        _log.info("pool %s: %s is ready%s", self._pool, process.name, where)

    def died(self, worker: str, how: str, lost: Lost[Any]) -> None:
        """A worker is no more."""
        following = "it was to end"
        if lost.restart_in is not None:
            following = f"another one starts in {lost.restart_in:.3g} s"
        elif lost.given_up:
            following = "it died too often to be started again"
        _log.info("pool %s: %s %s; %s", self._pool, worker, how.partition("\n")[0], following)

    def left(self, worker: str, ref: str, status: ReplicaStatus | None) -> None:
        """A worker was asked to end, and nobody knows whether it has: the pool waits no longer. A WARNING."""
        known = "" if status is None else f"; {status.age:.0f} s ago it was {status.state.value}"
        _log.warning(
            "pool %s: %s was asked to end, and its launcher does not say that it has: see %s%s",
            self._pool,
            worker,
            ref,
            known,
        )

    def ended(self, done: int, failed: int, broken: str | None) -> None:
        """The pool has ended.

        Args:
            done, failed: how many tasks ended with a value, and with an exception.
            broken: why the pool is broken; None if it is not.
        """
        counts = f"{done} tasks done, {failed} failed"
        if broken is not None:
            _log.info("pool %s is broken: %s; %s", self._pool, broken, counts)
        else:
            _log.info("pool %s has ended: %s", self._pool, counts)
