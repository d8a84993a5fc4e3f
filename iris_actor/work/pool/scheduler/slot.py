"""Slot: one place in a pool, filled by one worker process after the other.

::

      ┌─────────── backoff ────────────┐
      ▼                                │
    WAITING ─▶ STARTING ─▶ SETTING_UP ─▶ READY ─▶ LOST ──▶ FAILED (too often without a task to blame)
                  └────────────┴──────────────────▲│
                                                   └▶ ENDING (retired, or the pool ends) ─▶ removed
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Generic

from iris_actor.work.pool.scheduler.scheduled_task import T
from iris_actor.work.pool.scheduler.worker_load import Recorded, WorkerLoad


class SlotState(Enum):
    """Where a slot's worker is in its life."""

    WAITING = "waiting for its start"
    STARTING = "starting"
    SETTING_UP = "running the initializer"
    READY = "ready"
    LOST = "lost"
    FAILED = "failed"
    ENDING = "ending"


HAS_PROCESS = frozenset({SlotState.STARTING, SlotState.SETTING_UP, SlotState.READY, SlotState.LOST})
"""States in which a process is there, and nobody has asked it to end because it is not needed."""


class Slot(Generic[T]):
    """One place in a pool. Only the scheduler writes its fields.

    Attributes:
        index: the number in its worker's name.
        state: where its worker is in its life.
        process: number of the process that fills it, or filled it last; 0 before the first.
        due: when the state ends by itself: restart, queue timeout or start timeout, end of settling, end of
            the wait for an end. Infinite when it does not.
        retiring: gets no more tasks, and ends when it has none.
        restarts: how often the worker was replaced.
        streak: how often in a row it died without a task to blame.
        was_ready: whether this process got as far as that.
        runs: whether this process runs, and does not wait for a place any more.
        has_ended: whether this process is known to have ended.
        is_blameless: whether the engine ended this process for reasons of its own: nothing that ran there is
            to blame.
        ask_at: when this process, which cannot be reached, is to be asked to end. Infinite when it is not.
        is_killed: whether this process was asked to end at once, since the pool was killed.
        recorded: what its flight recorder said after the end of the process.
        done, failed: tasks that ended with a value, and with an exception, in all processes of the slot.
        load: what the process has to do.
    """

    __slots__ = (
        "ask_at",
        "done",
        "due",
        "failed",
        "has_ended",
        "index",
        "is_blameless",
        "is_killed",
        "load",
        "process",
        "recorded",
        "restarts",
        "retiring",
        "runs",
        "state",
        "streak",
        "was_ready",
    )

    def __init__(self, index: int) -> None:
        self.index = index
        self.state = SlotState.WAITING
        self.process = 0
        self.due = -math.inf
        self.retiring = False
        self.restarts = 0
        self.streak = 0
        self.done = 0
        self.failed = 0
        self._forget_process()

    def begin(self, process: int, due: float) -> None:
        """Another process fills the slot from now on; it is given up if it does not run by `due`."""
        self.state = SlotState.STARTING
        self.process = process
        self.due = due
        self._forget_process()

    def _forget_process(self) -> None:
        self.was_ready = False
        self.runs = False
        self.has_ended = False
        self.is_blameless = False
        self.ask_at = math.inf
        self.is_killed = False
        self.recorded: Recorded | None = None
        self.load: WorkerLoad[T] = WorkerLoad()
