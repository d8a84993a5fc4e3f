"""Decisions: how the parts of an engine reach its scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from iris_actor.work.pool.payload.task import Task
from iris_actor.work.pool.scheduler.actions import Action
from iris_actor.work.pool.scheduler.scheduler import Scheduler

R = TypeVar("R")

Event = Callable[[Scheduler[Task], float], Iterable[Action[Task]] | None]
"""Tells a scheduler what has happened, at a time; gives what follows."""


class Decisions(Protocol):
    """What the engine of a pool offers to its parts. Thread-safe."""

    def ask(self, question: Callable[[Scheduler[Task], float], R]) -> R:
        """What the scheduler answers to a question, at this moment."""

    def tell(self, event: Event) -> None:
        """Tell the scheduler of an event, and carry out what follows."""

    def feed(self) -> None:
        """Give tasks to workers that have room."""

    def wake(self) -> None:
        """Have the engine's thread look at everything soon."""

    def settled(self, process: int, count: int) -> None:
        """So many tasks are over that a worker had."""

    def link_failed(self, process: int, error: BaseException) -> None:
        """A call of a worker's failed: the worker cannot be reached."""

    def break_down(self, reason: str, cause: BaseException | None = None) -> None:
        """The pool can run nothing any more."""
