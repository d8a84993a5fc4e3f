"""Loss: what is known of a worker that is no more, and what follows for the tasks that it had."""

from __future__ import annotations

from typing import Self

from iris_actor.errors import WorkerLostError
from iris_actor.work.launch.launcher import ReplicaStatus
from iris_actor.work.pool.dispatcher import Dispatcher
from iris_actor.work.pool.task import Task
from iris_actor.work.pool.task_queue import TaskQueue
from iris_actor.work.pool.worker_slot import WorkerSlot
from iris_actor.work.worker.flight_recorder import Recording


class Loss:
    """The end of one worker process. For the keeper's thread.

    Attributes:
        how: how it ended, in words that follow its name.
        explained: whether a task is to blame, so that a new worker is not likely to end in the same way.
    """

    def __init__(
        self, slot: WorkerSlot, process: ReplicaStatus | None, recorded: Recording | None, words: str
    ) -> None:
        self._slot = slot
        self._process = process
        self._recorded = recorded
        self._words = words
        self._killer: Task | None = None
        self.how = self._how()
        self.explained = recorded is not None and recorded.seq in slot.abandoned

    @classmethod
    def of(cls, slot: WorkerSlot, process: ReplicaStatus | None) -> Self:
        """The loss of the process that fills `slot`, as its launcher saw it."""
        return cls(slot, process, slot.recording, slot.last_words)

    def _how(self) -> str:
        slot = self._slot
        how = self._process.how if self._process is not None else "was lost"
        if slot.ended_for:
            how = f"was ended, because {slot.ended_for}"
        if not slot.was_ready:
            how += " before it was ready" if slot.link is None else " while it ran the initializer"
        if self._words:
            how += f"; its last words on stderr:\n{self._words}"
        return how

    def take_tasks(self, dispatcher: Dispatcher) -> list[Task]:
        """Those of its tasks that are to be run again; the one that ran is charged. Call with the lock."""
        self.explained = self.explained or (self._recorded is None and bool(self._slot.abandoned))
        tasks = dispatcher.take_from(self._slot)
        if not tasks:
            return []
        recorded = self._recorded
        # Without a recorder a worker has one task at a time.
        seq = tasks[0].seq if recorded is None else recorded.seq
        running = next((task for task in tasks if task.seq == seq), None)
        if running is None:
            return tasks
        self.explained = True
        running.deaths += 1
        if running.deaths <= running.max_retries:
            return tasks
        self._killer = running
        return [task for task in tasks if task is not running]

    def reject_killer(self, queue: TaskQueue) -> None:
        """End the task that has been charged too often."""
        if self._killer is None:
            return
        process = self._process
        error = WorkerLostError(
            self._slot.name,
            exit_code=process.exit_code if process else None,
            signal=process.signal if process else None,
            attempts=self._killer.deaths,
            stderr=self._words,
            host=process.host if process else "",
            pid=process.pid if process else 0,
            reason=process.reason if process else "",
        )
        queue.reject(self._killer, error, self._slot.name)
