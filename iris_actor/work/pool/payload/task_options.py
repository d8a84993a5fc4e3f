"""TaskOptions: what may be chosen for each task of a pool."""

from __future__ import annotations

from dataclasses import dataclass

from iris_actor.work.launch.resource_spec import is_int, is_number


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """What `WorkerPool.options` sets; None leaves a value as the pool's configuration has it.

    Attributes:
        timeout: seconds that a task may run before it ends as DeadlineExceededError.
        max_retries: how often it is run again when its worker died while it ran.

    Raises:
        ValueError: naming the value and its rule.
    """

    timeout: float | None = None
    max_retries: int | None = None

    def __post_init__(self) -> None:
        if self.timeout is not None and (not is_number(self.timeout) or self.timeout <= 0):
            raise ValueError(f"timeout must be a positive number of seconds, got {self.timeout!r}")
        if self.max_retries is not None and not is_int(self.max_retries, least=0):
            raise ValueError(f"max_retries must be a whole number, 0 or more, got {self.max_retries!r}")
