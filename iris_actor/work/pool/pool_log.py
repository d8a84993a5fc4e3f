"""PoolLog: what becomes of a pool and its workers, for the log of whoever operates it.

All of it is INFO: a program that configures no logging learns of what matters from its futures.
"""

from __future__ import annotations

import logging

from iris_actor.work.pool.task_queue import TaskQueue
from iris_actor.work.pool.worker_slot import SlotState, WorkerSlot

_log = logging.getLogger(__name__)


class PoolLog:
    """Of one pool. Thread-safe.

    Args:
        pool: the pool's name.
    """

    def __init__(self, pool: str) -> None:
        self._pool = pool

    def ready(self, slot: WorkerSlot) -> None:
        """The worker of `slot` takes tasks."""
        link = slot.link
        where = "" if link is None else f" (pid {link.pid} on {link.host})"
        _log.info("pool %s: %s is ready%s", self._pool, slot.name, where)

    def died(self, slot: WorkerSlot, how: str, delay: float) -> None:
        """The worker of `slot` is no more; another starts in `delay` seconds, if the slot waits for one."""
        following = {
            SlotState.WAITING: f"another one starts in {delay:.3g} s",
            SlotState.FAILED: "it died too often to be started again",
        }.get(slot.state, "it was to end")
        _log.info("pool %s: %s %s; %s", self._pool, slot.name, how.partition("\n")[0], following)

    def ended(self, queue: TaskQueue) -> None:
        """The pool has ended."""
        counts = f"{queue.done} tasks done, {queue.failed} failed"
        if queue.broken is not None:
            _log.info("pool %s is broken: %s; %s", self._pool, queue.broken[0], counts)
        else:
            _log.info("pool %s has ended: %s", self._pool, counts)
