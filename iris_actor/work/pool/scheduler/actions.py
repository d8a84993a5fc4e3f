"""What a scheduler asks for: values that the engine carries out, and that tests compare.

Processes are numbers here. An action about a process that is no more is void.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, NamedTuple

from iris_actor.work.pool.scheduler.scheduled_task import T


class Send(NamedTuple, Generic[T]):
    """Send these tasks to a worker, in this order, as one batch; then tell the scheduler (`sent`)."""

    process: int
    batch: int
    tasks: list[T]


@dataclass(frozen=True, slots=True)
class AskBack:
    """Ask a worker for the tasks that wait there; then tell the scheduler (`given_back`)."""

    process: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell a worker that a task shall stop. With `drop` it gives the task back if it has not started; the
    scheduler hears of that (`dropped`)."""

    process: int
    seq: int
    drop: bool


@dataclass(frozen=True, slots=True)
class Start:
    """Start processes for slots with consecutive indices; then tell the scheduler (`launched`, or
    `not_launched`).

    Attributes:
        first: index of the first of these slots.
        processes: the numbers that the processes get.
    """

    first: int
    processes: tuple[int, ...]


class EndReason(Enum):
    """Why a process is to end."""

    RETIRED = "it is not needed any more"
    KILLED = "the pool was killed"
    STUCK = "a task went on after it was cancelled or its timeout had passed"
    UNREACHABLE = "it could not be reached"
    LATE = "it did not announce itself in time"


@dataclass(frozen=True, slots=True)
class End:
    """Ask a process to end, and see to it that it does."""

    process: int
    reason: EndReason


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker takes tasks from now on."""

    process: int


@dataclass(frozen=True, slots=True)
class Lost(Generic[T]):
    """A worker is no more, or never came.

    Attributes:
        process: its number.
        was_ready: whether it ever took tasks.
        late: whether it was given up because it did not announce itself in time.
        queued: whether that was because it found no place to run in time.
        launched: whether it could be started at all.
        killer: the task that is charged with the end and has no retry left: it ends as lost. None where
            there is none.
        restart_in: seconds until another one is started; None when none will be.
        given_up: whether that is because it died too often.
        streak: how often in a row it died without a task to blame.
    """

    process: int
    was_ready: bool
    late: bool = False
    queued: bool = False
    launched: bool = True
    killer: T | None = None
    restart_in: float | None = None
    given_up: bool = False
    streak: int = 0


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No worker is left, and none will be started: call `break_down`."""


GIVE_UP = GiveUp()


class Verdict(Enum):
    """How a task ends that no worker has answered."""

    CANCELLED = "cancelled"
    TIMED_OUT = "ran longer than its timeout"
    BROKEN = "the pool is broken"


@dataclass(frozen=True, slots=True)
class Settle(Generic[T]):
    """End a task.

    Attributes:
        task: the task.
        verdict: how.
        process: the worker that had it; 0 for none.
    """

    task: T
    verdict: Verdict
    process: int = 0


@dataclass(frozen=True, slots=True)
class Removed:
    """A slot is no more.

    Attributes:
        index: of the slot.
        process: that filled it last; 0 for none.
        left: whether that may still run: it was asked to end, and nobody said in time that it has.
    """

    index: int
    process: int
    left: bool = False


@dataclass(frozen=True, slots=True)
class WakeUp:
    """Call `tick` soon: there is something to decide that only `tick` decides."""


WAKE_UP = WakeUp()

Action = AskBack | Tell | Start | End | Ready | Lost[T] | GiveUp | Settle[T] | Removed | WakeUp
Actions = Sequence[Action[T]]
