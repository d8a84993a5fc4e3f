"""WorkerSource: where the engine of a pool gets its workers from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from iris_actor.work.pool.workers.worker_link import WorkerLink
from iris_actor.work.pool.workers.worker_process import WorkerProcess


class WorkerSource(Protocol):
    """Starts processes, and finds the way to them. All calls come from the engine's thread."""

    @property
    def poll_interval(self) -> float:
        """Seconds between two looks at processes; the source wakes the engine when it knows of a change."""

    @property
    def initializes(self) -> bool:
        """Whether a worker is set up before it takes tasks."""

    def start(self, first: int, numbers: Sequence[int]) -> list[WorkerProcess]:
        """Start processes for workers with consecutive indices, beginning with `first`.

        Args:
            first: index of the first of them.
            numbers: what the scheduler calls the processes.

        Raises:
            OSError: they cannot be started.
        """

    def find(self, process: WorkerProcess) -> WorkerLink | None:
        """The way to a process; None as long as it has not announced itself."""

    def set_up(self, process: WorkerProcess, on_reply: Callable[[Future[Any]], None]) -> None:
        """Have a worker run the initializer; `on_reply` gets what `Worker.run` answers.

        Raises:
            BaseException: the initializer does not pickle.
        """

    def forget(self, index: int) -> None:
        """The pool has no worker of that index any more."""

    def prepare(self) -> None:
        """Start what can wait until the first workers are on their way. Called again and again."""

    def close(self) -> None:
        """All workers have ended."""
