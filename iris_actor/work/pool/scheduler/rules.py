"""Rules: the settings of a pool by which its scheduler decides."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """By what a scheduler decides. All times are in seconds.

    Attributes:
        prefetch: whether a worker may hold tasks beside the one it runs: not unless somebody knows which of
            them killed it.
        max_tasks_per_worker: how many tasks a process runs before it is replaced; infinite for any number.
        cancel_grace: how long a task may go on after its timeout before its worker is ended.
        start_timeout: how long a process has until it announces itself, counted from when it runs; and the
            function and the arguments of a task with a timeout until they are rebuilt.
        idle_timeout: how long a worker that is more than the least may have nothing to do.
        max_restarts: how often in a row a worker is replaced that died without a task to blame.
        restart_delay: how long to wait before such a restart, by how many came before it.
    """

    prefetch: bool = True
    max_tasks_per_worker: float = math.inf
    cancel_grace: float = 2.0
    start_timeout: float = 60.0
    idle_timeout: float = 10.0
    max_restarts: int = 3
    restart_delay: Callable[[int], float] = lambda _attempt: 0.1
