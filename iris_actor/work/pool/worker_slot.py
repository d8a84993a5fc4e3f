"""WorkerSlot: one place in a pool, filled by one worker process after the other.

::

      ┌─────────── backoff ────────────┐
      ▼                                │
    WAITING ─▶ STARTING ─▶ SETTING_UP ─▶ READY ─▶ LOST ──▶ FAILED (too often without a task to blame)
                  └────────────┴──────────────────▲│
                                                   └▶ ENDING (retired, or the pool ends) ─▶ GONE
"""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING

from iris_actor.work.launch.launcher import Launch, ReplicaStatus
from iris_actor.work.pool.pool_status import WorkerInfo, WorkerState
from iris_actor.work.worker.flight_recorder import Recording

if TYPE_CHECKING:
    from collections.abc import Callable

    from iris_actor.work.pool.task import Task
    from iris_actor.work.pool.worker_link import WorkerLink


class SlotState(Enum):
    """Where a slot's worker is in its life."""

    WAITING = "waiting for its restart"
    STARTING = "starting"
    SETTING_UP = "running the initializer"
    READY = "ready"
    LOST = "lost"
    FAILED = "failed"
    ENDING = "ending"
    GONE = "gone"


_PUBLIC = {
    SlotState.FAILED: WorkerState.FAILED,
    SlotState.ENDING: WorkerState.ENDING,
    SlotState.GONE: WorkerState.ENDING,
}


class WorkerSlot:
    """One place in a pool. All fields are guarded by the pool's lock.

    Attributes:
        index: the number in its name.
        state: where its worker is in its life.
        due: when the state ends by itself, on the monotonic clock: restart, start timeout, end of settling.
        launch, replica, launch_id: the process.
        was_ready: whether this process got as far as that.
        ended_for: why the pool ended it; empty when the pool did not.
        by_value: how many modules had to be sent by value for the initializer's sake.
        link: the way to the worker; None before it is found and after it is lost.
        restarts: how often the worker was replaced.
        streak: how often in a row it died without a task to blame.
        retiring: gets no more tasks, and ends when it has none.
        outstanding: tasks that are with the worker, in the order in which it runs them.
        load: seconds that they are expected to take together.
        feeding: whether a thread is just sending to it: only one at a time, so that batches arrive in order.
        withdrawing: whether it was asked to give tasks back.
        moved_at: when it became ready, last got its first task or finished one, on the monotonic clock.
        finished: tasks that this process finished.
        done, failed: tasks that ended with a value, and with an exception, in all processes of the slot.
        abandoned: tasks that are over for their callers and may still run in the worker, and when the worker
            is to be ended for that, on the monotonic clock.
        unsubscribe: ends the watch of its name in the registry.
    """

    __slots__ = (
        "abandoned",
        "by_value",
        "done",
        "due",
        "ended_for",
        "failed",
        "feeding",
        "finished",
        "index",
        "launch",
        "launch_id",
        "link",
        "load",
        "moved_at",
        "outstanding",
        "replica",
        "restarts",
        "retiring",
        "state",
        "streak",
        "unsubscribe",
        "was_ready",
        "withdrawing",
    )

    def __init__(self, index: int) -> None:
        self.index = index
        self.state = SlotState.WAITING
        self.due = 0.0
        self.was_ready = False
        self.ended_for = ""
        self.by_value = 0
        self.launch: Launch | None = None
        self.replica = 0
        self.launch_id = ""
        self.link: WorkerLink | None = None
        self.restarts = 0
        self.streak = 0
        self.retiring = False
        self.outstanding: dict[int, Task] = {}
        self.load = 0.0
        self.feeding = False
        self.withdrawing = False
        self.moved_at = 0.0
        self.finished = 0
        self.done = 0
        self.failed = 0
        self.abandoned: dict[int, float] = {}
        self.unsubscribe: Callable[[], None] | None = None

    @property
    def name(self) -> str:
        """Its worker's name."""
        return f"worker-{self.index}"

    @property
    def process(self) -> ReplicaStatus | None:
        """What the launcher knows of its process."""
        return None if self.launch is None else self.launch.poll()[self.replica]

    @property
    def last_words(self) -> str:
        """The last lines that its process wrote to stderr."""
        return "" if self.launch is None else self.launch.last_words(self.replica)

    @property
    def public_state(self) -> WorkerState:
        """The state as `PoolStatus` puts it."""
        if self.retiring and self.state is not SlotState.FAILED:
            return WorkerState.ENDING
        if self.state is SlotState.READY:
            return WorkerState.BUSY if self.outstanding or self.abandoned else WorkerState.IDLE
        return _PUBLIC.get(self.state, WorkerState.PENDING)

    @property
    def recording(self) -> Recording | None:
        """What the flight recorder of its process says; None without one."""
        return None if self.launch is None else self.launch.recorded(self.replica)

    def running(self) -> tuple[Task, Recording] | None:
        """The task that the worker is at, if that is known, and since when."""
        if not self.outstanding:
            return None
        recording = self.recording
        if recording is None:  # then it has one at a time
            first = next(iter(self.outstanding.values()))
            return first, Recording(first.seq, self.moved_at, begun=True)
        task = self.outstanding.get(recording.seq)
        return None if task is None else (task, recording)

    def info(self) -> WorkerInfo:
        """What a user sees of it."""
        process = None if self.link is not None else self.process  # which asks about the whole launch
        running = self.running()
        return WorkerInfo(
            name=self.name,
            state=self.public_state,
            pid=self.link.pid if self.link else process.pid if process else 0,
            host=self.link.host if self.link else process.host if process else "",
            restarts=self.restarts,
            tasks=len(self.outstanding),
            task=running[0].name if running else None,
            running_for=max(0.0, time.monotonic() - running[1].since) if running else 0.0,
            done=self.done,
            failed=self.failed,
        )
