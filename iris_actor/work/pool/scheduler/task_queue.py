"""TaskQueue: the tasks that no worker has, in the order in which they are to be started; `Followup`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum
from typing import Generic

from iris_actor.work.pool.scheduler.scheduled_task import T

BEHIND = 64
"""How many others a task that a worker died of lets go first."""


class Followup(Enum):
    """What a new task asks for."""

    NOTHING = "it waits"
    FEED = "a worker has room: call next_batch"
    TICK = "no worker is foreseen for it: call tick"


NOTHING, FEED, TICK = Followup


class TaskQueue(Generic[T]):
    """Tasks that wait for a worker.

    Attributes:
        waiting: these tasks; those that are cancelled meanwhile drop out when they are met.
        unsettled: how many tasks are not over, wherever they are.
    """

    __slots__ = ("unsettled", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[T] = deque()
        self.unsettled = 0

    def start_next(self) -> bool:
        """Put the first task past cancellation. False: it was cancelled, and is gone."""
        task = self.waiting[0]
        if task.started:
            return True
        if task.claim():
            task.started = True
            return True
        self.waiting.popleft()
        self.unsettled -= 1
        return False

    def drop_cancelled(self) -> None:
        """Take notice of cancelled tasks."""
        live = [task for task in self.waiting if task.started or not task.cancelled]
        if len(live) != len(self.waiting):
            self.unsettled -= len(self.waiting) - len(live)
            self.waiting = deque(live)

    def put_back(self, tasks: Iterable[T]) -> None:
        """Put tasks that a worker had to the head, in their order; those that it died of, behind others.

        The first task of a fresh worker is the one that its imports are done for. Were it always the same
        one, it would be charged with each death in that time, whatever the cause.
        """
        tasks = list(tasks)
        self.waiting.extendleft(task for task in reversed(tasks) if not task.deaths)
        for task in tasks:
            if task.deaths:
                self.waiting.insert(BEHIND, task)

    def clear(self) -> list[T]:
        """Take all tasks out."""
        tasks = list(self.waiting)
        self.waiting.clear()
        return tasks
