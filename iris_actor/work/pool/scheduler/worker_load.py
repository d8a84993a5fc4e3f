"""WorkerLoad: the tasks that one worker process has."""

from __future__ import annotations

from typing import Generic, NamedTuple, Protocol

from iris_actor.work.pool.scheduler.scheduled_task import T


class Recorded(Protocol):
    """What a worker noted last about itself; see `flight_recorder.Recording`."""

    @property
    def seq(self) -> int:
        """Number of the task that the worker is at, or was."""

    @property
    def since(self) -> float:
        """When it came to that task, on the clock that `now` is read from."""

    @property
    def begun(self) -> bool:
        """Whether the task itself runs since then, or is still being rebuilt."""


class Running(NamedTuple, Generic[T]):
    """The task that a worker is at.

    Attributes:
        task: the task.
        since: when the worker came to it.
        begun: whether the task itself runs since then, or is still being rebuilt.
    """

    task: T
    since: float
    begun: bool


class WorkerLoad(Generic[T]):
    """What one worker process has to do. A process that takes its place begins with an empty one.

    Attributes:
        outstanding: tasks that are with the worker, by number, in the order in which it runs them.
        seconds: how long they are expected to take together.
        batches: how many batches the worker has not completed.
        feeding: whether a batch is just being sent. There is one at a time, so that batches arrive in order.
        defining: number of the batch whose definitions are on their way; 0 for none. They may be large, and
            small messages may overtake them, so no other batch is sent meanwhile.
        withdrawing: whether the worker was asked to give tasks back.
        has_nothing_to_give: whether it was asked in vain, and nothing has changed since.
        abandoned: tasks that are over for their callers and may still run in the worker, and when the worker
            is to be ended for that.
        condemned: whether the worker is being ended for that.
        moved_at: when it became ready, last got its first task, or finished one.
        finished: how many tasks it finished.
    """

    __slots__ = (
        "abandoned",
        "batches",
        "condemned",
        "defining",
        "feeding",
        "finished",
        "has_nothing_to_give",
        "moved_at",
        "outstanding",
        "seconds",
        "withdrawing",
    )

    def __init__(self) -> None:
        self.outstanding: dict[int, T] = {}
        self.seconds = 0.0
        self.batches = 0
        self.feeding = False
        self.defining = 0
        self.withdrawing = False
        self.has_nothing_to_give = False
        self.abandoned: dict[int, float] = {}
        self.condemned = False
        self.moved_at = 0.0
        self.finished = 0

    @property
    def is_busy(self) -> bool:
        """Whether it has a task, or may be running one that nobody waits for."""
        return bool(self.outstanding or self.abandoned)

    @property
    def has_waiting(self) -> bool:
        """Whether tasks wait in the worker behind another one."""
        return len(self.outstanding) + len(self.abandoned) > 1

    def answered(self, batch: int, *, complete: bool) -> None:
        """The worker has answered a batch: its definitions have arrived, and with `complete` it is over."""
        if complete:
            self.batches -= 1
        if self.defining == batch:
            self.defining = 0

    def take(self, seq: int) -> T | None:
        """Take a task out; None when it is not here (any more)."""
        task = self.outstanding.pop(seq, None)
        if task is not None:
            self.seconds = max(0.0, self.seconds - task.cost) if self.outstanding else 0.0
        return task

    def recall(self, seq: int) -> T | None:
        """Take a task out that the worker does not have; None when its caller does not wait for it."""
        self.abandoned.pop(seq, None)
        return self.take(seq)

    def abandon(self, seq: int, due: float) -> None:
        """Count a task as over for its caller. If it still runs when it is `due`, the worker is ended."""
        self.take(seq)
        self.abandoned[seq] = due

    def running(self, recorded: Recorded | None) -> Running[T] | None:
        """The task that the worker is at, if that is known.

        Args:
            recorded: what its flight recorder says; None where it has none, and one task at a time.
        """
        if recorded is None:
            for first in self.outstanding.values():
                return Running(first, self.moved_at, begun=True)
            return None
        task = self.outstanding.get(recorded.seq)
        return None if task is None else Running(task, recorded.since, recorded.begun)
