"""TaskStopper: ends tasks that a worker has, because they were cancelled or their timeout passed.

::

    cancel()            the worker is told; the task's outcome is still what counts
    cancel(kill=True) ┐ the future ends at once, the worker is told, and the task is *abandoned*:
    timeout passed    ┘ if it still runs when the grace is over, its worker is ended and replaced

While a worker has an abandoned task it gets no others, and those that wait there are taken back. The time of
a task starts when its worker starts it: the flight recorder tells, whether or not the worker can answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from iris_actor.errors import DeadlineExceededError
from iris_actor.work.pool.task import Task
from iris_actor.work.pool.task_future import TaskFuture
from iris_actor.work.pool.worker_slot import WorkerSlot
from iris_actor.work.worker.flight_recorder import Recording

if TYPE_CHECKING:
    from iris_actor.work.pool.dispatcher import Dispatcher
    from iris_actor.work.pool.worker_link import WorkerLink

UNSURE = 0.05
"""Seconds until the next look at an abandoned task that neither runs nor is known to be over."""


def overtime(slot: WorkerSlot, task: Task) -> DeadlineExceededError:
    """What a task ends with that ran longer than it may, in the worker of `slot`."""
    link = slot.link
    where = f"{slot.name} (pid {link.pid} on {link.host})" if link is not None else slot.name
    return DeadlineExceededError(
        f"task {task.name} ran longer than its timeout of {task.timeout:g} s in {where}"
    )


class TaskStopper:
    """Ends tasks of one pool. `cancel` is for any thread, the rest for the keeper's.

    Args:
        dispatcher: of the pool, whose lock guards all that is looked at here.
        grace: seconds between a timeout and the end of the worker whose task ignores it.
        rebuild_timeout: seconds that function and arguments of a task with a timeout have until they are
            rebuilt.

    Attributes:
        watched: whether the keeper knows that a task with a timeout is with a worker.
    """

    def __init__(self, dispatcher: Dispatcher, grace: float, rebuild_timeout: float) -> None:
        self._dispatcher = dispatcher
        self._queue = dispatcher.queue
        self._lock = dispatcher.lock
        self._grace = grace
        self._rebuild_timeout = rebuild_timeout
        self.watched = False

    # --- cancelled by the caller ----------------------------------------------------------------------

    def cancel(self, future: TaskFuture[Any], kill: bool) -> bool:
        """See `TaskFuture.cancel`."""
        wanted = future.task
        if wanted is not None:
            wanted.unwanted = True  # before the look: it may be on its way back to the queue
        with self._lock:
            found = self._find(future)
            if found is None:
                task = next((task for task in self._queue.waiting if task.future is future), None)
                if task is None:  # over, or about to be
                    return False
                # It waits for another attempt, or for a worker that has room: nobody runs it.
                self._queue.waiting.remove(task)
                slot = link = None
            else:
                slot, task = found
                link = slot.link
                if kill:
                    self._abandon(slot, task, time.monotonic())
        if slot is None:
            self._queue.withdraw(task)
            return True
        if link is not None:
            link.stop(task.seq, kill, partial(self._on_told, slot, link, task.seq))
        if kill:
            self._queue.withdraw(task)
            self._dispatcher.wake()
        return kill

    def _find(self, future: TaskFuture[Any]) -> tuple[WorkerSlot, Task] | None:
        for slot in self._dispatcher.slots:
            for task in slot.outstanding.values():
                if task.future is future:
                    return slot, task
        return None

    def _abandon(self, slot: WorkerSlot, task: Task, due: float) -> None:
        self._dispatcher.take_back(slot, task.seq)
        slot.abandoned[task.seq] = due
        self._dispatcher.update(slot)

    def _on_told(self, slot: WorkerSlot, link: WorkerLink, seq: int, call: Future[Any]) -> None:
        if call.cancelled() or call.exception() is not None or not call.result():
            return  # the worker is lost, or the task runs, or ran
        with self._lock:
            if slot.link is link:
                slot.abandoned.pop(seq, None)
                self._dispatcher.update(slot)
        self._dispatcher.pump()
        self._dispatcher.wake()

    # --- over their time ------------------------------------------------------------------------------

    def expire(self) -> None:
        """End tasks whose timeout has passed."""
        now = time.monotonic()
        expired: list[tuple[WorkerSlot, WorkerLink | None, Task]] = []
        with self._lock:
            for slot, task, due in self._timed(now):
                if due <= now:
                    expired.append((slot, slot.link, task))
            for slot, _, task in expired:
                self._abandon(slot, task, now + self._grace)
        for slot, link, task in expired:
            error = overtime(slot, task)
            if link is not None:
                link.stop(task.seq, True, partial(self._on_told, slot, link, task.seq))
            self._queue.reject(task, error, slot.name)

    def _timed(self, now: float) -> Iterator[tuple[WorkerSlot, Task, float]]:
        """Tasks with a timeout that workers have, and when they are over it at the earliest."""
        for slot in self._dispatcher.slots:
            if not any(task.timeout is not None for task in slot.outstanding.values()):
                continue
            running = slot.running()
            for task in slot.outstanding.values():
                if task.timeout is not None:
                    yield slot, task, self._begin(task, running, now) + task.timeout

    def _begin(self, task: Task, running: tuple[Task, Recording] | None, now: float) -> float:
        """When the time of `task` began, or will at the earliest."""
        if running is None or running[0] is not task:
            return now
        recording = running[1]
        # Imports are not the task's own time; but if they never end, neither would it.
        return recording.since if recording.begun else recording.since + self._rebuild_timeout

    def next_due(self) -> float | None:
        """When to look again, on the monotonic clock. Call with the lock."""
        now = time.monotonic()
        dues = [due for _, _, due in self._timed(now)]
        self.watched = bool(dues)
        for slot in self._dispatcher.slots:
            dues.extend(slot.abandoned.values())
        return min(dues, default=None)

    def overdue(self, slot: WorkerSlot) -> bool:
        """Whether the worker of `slot` is to be ended, because it runs what nobody waits for."""
        if not slot.abandoned:
            return False
        now = time.monotonic()
        with self._lock:
            recording = slot.recording
            for seq, due in slot.abandoned.items():
                if due > now:
                    continue
                if recording is None or recording.seq == seq:
                    return True
                slot.abandoned[seq] = now + UNSURE
        return False
