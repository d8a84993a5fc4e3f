"""The engine of a WorkerPool alone: its queue, batches and outcomes, with workers that are not there.

A hundred worker processes on two cores would measure the cores. These answer in place, with what the task
gives, so that what is left is what a pool of that size costs its driver.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from benchmarks.peers.base import increment
from iris_actor.registry.endpoint import ActorId, Endpoint
from iris_actor.work.pool.config import WorkerPoolConfig
from iris_actor.work.pool.engine import Engine
from iris_actor.work.pool.monitor.pool_status import PoolStatus
from iris_actor.work.pool.payload.task_options import TaskOptions
from iris_actor.work.pool.workers.worker_link import WorkerLink
from iris_actor.work.pool.workers.worker_process import WorkerProcess
from iris_actor.work.worker.task_wire import Kind, unpack_value

TASK_SECONDS = 1e-5
"""What each task says that it took."""

Sent = deque[tuple[list[Any], Callable[[Future[Any]], None]]]


class _Absent(WorkerLink):
    """The way to a worker that is not there; batches wait in `sent` until somebody answers them."""

    def __init__(self, sent: Sent) -> None:
        super().__init__(Endpoint("test/worker", ActorId("absent"), "127.0.0.1:1"), None)
        self._sent = sent

    def run(
        self, batch_id: int, definitions: Any, forgotten: Any, tasks: Any, settings: Any, on_reply: Any
    ) -> None:
        del batch_id, definitions, forgotten
        self.settings = settings
        self._sent.append((list(tasks), on_reply))


class _Nowhere:
    """A source of workers that are not there."""

    poll_interval = 1.0
    initializes = False

    def __init__(self, sent: Sent) -> None:
        self._sent = sent

    def start(self, first: int, numbers: Sequence[int]) -> list[WorkerProcess]:
        return [WorkerProcess(number, first + offset) for offset, number in enumerate(numbers)]

    def find(self, process: WorkerProcess) -> WorkerLink:
        del process
        return _Absent(self._sent)

    def set_up(self, process: WorkerProcess, on_reply: Callable[[Future[Any]], None]) -> None:
        raise NotImplementedError

    def forget(self, index: int) -> None:
        del index

    def prepare(self) -> None: ...

    def close(self) -> None: ...


class Dispatch:
    """The engine of a pool with so many workers."""

    def __init__(self, workers: int) -> None:
        self._sent: Sent = deque()

        def open_source(wake: Callable[[], None], status: Callable[[], PoolStatus]) -> _Nowhere:
            del wake, status
            return _Nowhere(self._sent)

        config = WorkerPoolConfig(num_workers=workers)
        self._engine = Engine("nowhere", config, prefetch=True, open_source=open_source)
        self._engine.start()
        if not self._engine.wait_ready(workers, 60):
            raise RuntimeError(f"only {self._engine.ready} of {workers} workers were ready")

    def run(self, values: list[int]) -> list[int]:
        """`increment` of each, as tasks; all in one thread."""
        results: list[int] = []
        # Not the main thread: that leaves the sending to another one.
        thread = threading.Thread(target=lambda: results.extend(self._run(values)))
        thread.start()
        thread.join()
        return results

    def _run(self, values: list[int]) -> list[int]:
        options = TaskOptions()
        futures = [self._engine.submit(increment, (value,), {}, options) for value in values]
        while self._sent:
            tasks, on_reply = self._sent.popleft()
            answer: Future[Any] = Future()
            answer.set_result(([_outcome(task) for task in tasks], True))
            on_reply(answer)
        return [future.result(0) for future in futures]


def _outcome(task: tuple[Any, ...]) -> tuple[Any, ...]:
    (args, kwargs) = unpack_value(task[2])
    return task[0], int(Kind.VALUE), (increment(*args, **kwargs),), TASK_SECONDS, None
