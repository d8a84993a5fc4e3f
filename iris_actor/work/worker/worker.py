"""Worker: the actor through which a pool reaches one worker process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from iris_actor.actor.context import call_context
from iris_actor.work.worker.task_runner import Batch, TaskRunner

Reply = tuple[list[tuple[Any, ...]], bool]
"""Outcomes (`task_wire.OutcomeMessage` as bare tuples), and whether their batch is complete."""

MAX_CONCURRENCY = 16
"""Calls of one worker's methods at a time: they only wait, a pool has two or three on their way."""


class Worker:
    """Takes batches of tasks for the main thread and hands their outcomes back.

    All methods run on the event loop and only wait, so they answer while a task runs.
    """

    def __init__(self, runner: TaskRunner) -> None:
        self._runner = runner
        self._batches: dict[int, Batch] = {}

    async def run(
        self,
        batch_id: int,
        definitions: Sequence[Any],
        forgotten: Sequence[int],
        tasks: Sequence[Any],
        settings: Sequence[Any] | None,
    ) -> Reply:
        """Queue `tasks`; answers when all are done, or with what is done soon after the first of them.

        Args:
            batch_id: the caller's number for this batch, never used twice.
            definitions: functions that the tasks, also later ones, refer to by number.
            forgotten: functions that none will refer to any more.
            tasks: `task_wire.TaskMessage` as bare tuples, run in this order, after those of earlier calls.
            settings: the driver's, as `worker_settings.Settings` holds them, before the tasks run; None when
                they are as before.
        """
        caller = call_context().caller
        self._batches[batch_id] = self._runner.add(definitions, forgotten, tasks, settings, caller)
        return await self.more(batch_id)

    async def more(self, batch_id: int) -> Reply:
        """Further outcomes of a batch that was not complete."""
        reply = await self._batches[batch_id].collect()
        if reply[1]:
            del self._batches[batch_id]
        return reply

    async def withdraw(self) -> list[int]:
        """Give all tasks back that have not started."""
        return self._runner.withdraw()

    async def stop(self, seq: int, drop: bool) -> bool:
        """Tell a task that it shall stop.

        Args:
            seq: the task's number.
            drop: take it back if it has not started.

        Returns:
            Whether it was taken back.
        """
        return self._runner.tell_to_stop(seq, drop=drop)
