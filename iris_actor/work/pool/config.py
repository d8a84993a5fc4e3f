"""WorkerPoolConfig: how a pool treats its workers and tasks.

Checked when it is built, so that a bad value fails where it was written.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from iris_actor.naming import qualify
from iris_actor.retry import Backoff
from iris_actor.work.launch.launcher import LauncherTraits
from iris_actor.work.launch.resource_spec import ResourceSpec, is_int, is_number
from iris_actor.work.pool.scheduler.rules import Rules


def default_num_workers() -> int:
    """As many workers as this process may use cores."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class WorkerPoolConfig:
    """How a `WorkerPool` starts its workers and what it does when they die.

    Attributes:
        num_workers: worker processes; by default as many as this process may use cores. A pair is the least
            and the most: the pool grows while tasks wait, and shrinks when workers have nothing to do. The
            least may be 0 then.
        resources: what each of them needs.
        max_retries: how often a task is run again whose worker died while it ran. 0 promises that a task
            never starts twice, at the price of a pause of one round trip between two tasks.
        name: part of the workers' names in the registry; made up when None.
        initializer: called in each worker before its first task; the pool breaks when it raises.
        initargs: its arguments.
        task_timeout: seconds that a task may run before it ends as DeadlineExceededError; None for ever.
            `WorkerPool.options` sets another one for some tasks.
        cancel_grace: seconds that a task has to return after it was cancelled or its timeout passed, before
            its worker is ended and replaced.
        max_tasks_per_worker: how many tasks a worker process runs before it is replaced by a fresh one; None
            for any number. With ``map(chunksize=n)`` a task is a chunk.
        idle_timeout: seconds without a task after which a worker that is more than the least is ended.
        max_restarts: how often in a row one worker is replaced that died without a task to blame,
            before the pool gives up on it. The pool breaks when it has given up on all.
        restart_backoff: how long to wait before each of these restarts.
        start_timeout: seconds that a worker has until it is ready, counted from when its process runs, the
            initializer not included. A task that has a timeout has as many until its function and arguments
            are rebuilt.
        queue_timeout: seconds that a worker may wait for a place on a cluster; None for any time. One that
            waits for longer is taken out of the queue, and counts as one that could not be started.
        shutdown_grace: seconds that a worker has to end on its own before it is killed.
        env: environment variables for the workers, beside the driver's own.
        cwd: their working directory; None for the launcher's default, which is the driver's own on this
            machine.
        by_value: modules, or packages, whose functions and classes travel by value whether or not workers
            can import them. It holds for the whole process.

    Raises:
        ValueError: naming the value and its rule.
        TypeError: when `initializer` cannot be called, or `by_value` holds something else than modules.
    """

    num_workers: int | tuple[int, int] = field(default_factory=default_num_workers)
    resources: ResourceSpec = field(default_factory=ResourceSpec)
    max_retries: int = 3
    name: str | None = None
    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()
    task_timeout: float | None = None
    cancel_grace: float = 2.0
    max_tasks_per_worker: int | None = None
    idle_timeout: float = 10.0
    max_restarts: int = 3
    restart_backoff: Backoff = field(default_factory=lambda: Backoff(first=0.1, most=10.0))
    start_timeout: float = 60.0
    queue_timeout: float | None = None
    shutdown_grace: float = 5.0
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | os.PathLike[str] | None = None
    by_value: Sequence[ModuleType] = ()

    def __post_init__(self) -> None:
        check_bounds(self.num_workers)
        if not isinstance(self.resources, ResourceSpec):
            raise ValueError(f"resources must be a ResourceSpec, got {self.resources!r}")  # noqa: TRY004 - one kind of error per config
        for name in ("max_retries", "max_restarts"):
            if not is_int(getattr(self, name), least=0):
                raise ValueError(f"{name} must be a whole number, 0 or more, got {getattr(self, name)!r}")
        if self.max_tasks_per_worker is not None and not is_int(self.max_tasks_per_worker, least=1):
            raise ValueError(
                f"max_tasks_per_worker must be a whole number, 1 or more, got {self.max_tasks_per_worker!r}"
            )
        optional = ("queue_timeout", "task_timeout")
        for name in ("start_timeout", "shutdown_grace", "cancel_grace", "idle_timeout", *optional):
            value = getattr(self, name)
            if value is None and name in optional:
                continue
            if not is_number(value) or value <= 0:
                raise ValueError(f"{name} must be a positive number of seconds, got {value!r}")
        if self.name is not None:
            if isinstance(self.name, str) and "/" in self.name:
                raise ValueError(f"name must be a single segment, without '/', got {self.name!r}")
            qualify(self.name, "default")
        if self.initializer is not None and not callable(self.initializer):
            raise TypeError("initializer must be a callable")
        for key, text in dict(self.env).items():
            if not isinstance(key, str) or not isinstance(text, str):
                raise ValueError(f"env must map str to str, got {key!r}: {text!r}")  # noqa: TRY004
        if self.cwd is not None and not isinstance(self.cwd, str | os.PathLike):
            raise ValueError(f"cwd must be a path, got {self.cwd!r}")
        for module in self.by_value:
            if not isinstance(module, ModuleType):
                raise TypeError(f"by_value must hold modules, got {module!r}")

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the most workers."""
        return check_bounds(self.num_workers)

    def rules(self, traits: LauncherTraits) -> Rules:
        """What the scheduler of a pool goes by whose workers a launcher with these traits starts."""
        most = self.max_tasks_per_worker
        return Rules(
            prefetch=traits.shares_memory or traits.keeps_logs,
            sees_running=traits.shares_memory,
            max_tasks_per_worker=math.inf if most is None else most,
            cancel_grace=self.cancel_grace,
            start_timeout=self.start_timeout,
            queue_timeout=math.inf if self.queue_timeout is None else self.queue_timeout,
            shutdown_grace=self.shutdown_grace,
            end_timeout=traits.end_timeout,
            notice=traits.notice,
            idle_timeout=self.idle_timeout,
            max_restarts=self.max_restarts,
            restart_delay=self.restart_backoff.delay,
        )


def check_bounds(num_workers: object, name: str = "num_workers") -> tuple[int, int]:
    """The least and the most workers that `num_workers` stands for.

    Raises:
        ValueError: when it is neither a number of workers nor a pair of them.
    """
    if is_int(num_workers, least=1):
        return num_workers, num_workers  # type: ignore[return-value]
    if isinstance(num_workers, tuple | list) and len(num_workers) == 2:
        least, most = num_workers
        if is_int(least, least=0) and is_int(most, least=max(1, least)):
            return least, most
    raise ValueError(
        f"{name} must be a whole number, 1 or more, got {num_workers!r}; or a pair of such numbers, the"
        " least (also 0) and the most"
    )
