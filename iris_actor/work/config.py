"""Configuration of worker pools: what one worker needs, and how the pool treats workers and tasks.

Both records are checked when they are built, so that a bad value fails where it was written.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from iris_actor.naming import qualify
from iris_actor.retry import Backoff

_MEMORY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?)b?\s*\Z", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_memory(value: str | int) -> int:
    """Bytes that `value` stands for: ``"16GB"`` (decimal), ``"16GiB"`` or ``"16Gi"`` (binary), or a number.

    Raises:
        ValueError: when it is neither, or not positive.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        match = _MEMORY.match(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(
                f"memory must be a number of bytes or a size like '512MB', '16GB' or '16GiB', got {value!r}"
            )
        number, power, binary = match.groups()
        if binary and not power:
            raise ValueError(f"memory unit 'iB' needs a prefix, as in '16GiB', got {value!r}")
        size = int(float(number) * (1024 if binary else 1000) ** _POWERS[power.lower()])
    if size <= 0:
        raise ValueError(f"memory must be positive, got {value!r}")
    return size


def _is_int(value: object, *, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True, slots=True)
class ResourceSpec:
    """What one process asks of the machine that runs it.

    Cluster launchers reserve it. The local launcher reserves nothing; it caps the threads of numeric
    libraries at `cpu`, so that many workers do not fight over the cores.

    Attributes:
        cpu: cores, also a fraction.
        memory: bytes, or a size such as ``"16GB"`` or ``"16GiB"``.
        gpus: whole GPUs.

    Raises:
        ValueError: naming the value and its rule.
    """

    cpu: float = 1
    memory: str | int = "16GB"
    gpus: int = 0

    def __post_init__(self) -> None:
        if not _is_number(self.cpu) or self.cpu <= 0:
            raise ValueError(f"ResourceSpec.cpu must be a positive number of cores, got {self.cpu!r}")
        if not _is_int(self.gpus, least=0):
            raise ValueError(f"ResourceSpec.gpus must be a whole number, 0 or more, got {self.gpus!r}")
        try:
            parse_memory(self.memory)
        except ValueError as error:
            raise ValueError(f"ResourceSpec.{error}") from None

    @property
    def memory_bytes(self) -> int:
        """`memory` in bytes."""
        return parse_memory(self.memory)


def default_num_workers() -> int:
    """As many workers as this process may use cores."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class WorkerPoolConfig:
    """How a `WorkerPool` starts its workers and what it does when they die.

    Attributes:
        num_workers: worker processes; by default as many as this process may use cores.
        resources: what each of them needs.
        max_retries: how often a task is run again whose worker died while it ran. 0 promises that a task
            never starts twice, at the price of a pause of one round trip between two tasks.
        name: part of the workers' names in the registry; made up when None.
        initializer: called in each worker before its first task; the pool breaks when it raises.
        initargs: its arguments.
        max_restarts: how often in a row one worker is replaced that died without a task to blame,
            before the pool gives up on it. The pool breaks when it has given up on all.
        restart_backoff: how long to wait before each of these restarts.
        start_timeout: seconds that a started worker has until it is ready, initializer not counted.
        shutdown_grace: seconds that a worker has to end on its own before it is killed.
        env: environment variables for the workers, beside the driver's own.

    Raises:
        ValueError: naming the value and its rule.
        TypeError: when `initializer` cannot be called.
    """

    num_workers: int = field(default_factory=default_num_workers)
    resources: ResourceSpec = field(default_factory=ResourceSpec)
    max_retries: int = 3
    name: str | None = None
    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()
    max_restarts: int = 3
    restart_backoff: Backoff = field(default_factory=lambda: Backoff(first=0.1, most=10.0))
    start_timeout: float = 60.0
    shutdown_grace: float = 5.0
    env: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _is_int(self.num_workers, least=1):
            raise ValueError(f"num_workers must be a whole number, 1 or more, got {self.num_workers!r}")
        if not isinstance(self.resources, ResourceSpec):
            raise ValueError(f"resources must be a ResourceSpec, got {self.resources!r}")  # noqa: TRY004 - one kind of error per config
        for name in ("max_retries", "max_restarts"):
            if not _is_int(getattr(self, name), least=0):
                raise ValueError(f"{name} must be a whole number, 0 or more, got {getattr(self, name)!r}")
        for name in ("start_timeout", "shutdown_grace"):
            value = getattr(self, name)
            if not _is_number(value) or value <= 0:
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
