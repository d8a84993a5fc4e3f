"""ResourceSpec: what one process asks of the machine that runs it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

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


def is_int(value: object, *, least: int) -> bool:
    """Whether `value` is a whole number from `least` up; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_number(value: object) -> bool:
    """Whether `value` is a finite number; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True, slots=True)
class ResourceSpec:
    """What one process asks of the machine that runs it.

    Cluster launchers reserve it. The local launcher reserves nothing; it caps the threads of numeric
    libraries at `cpu`, so that many workers do not fight over the cores, and holds each worker to `memory`:
    a task that asks for more gets a MemoryError, and its worker goes on.

    What counts against `memory` is what the worker has in memory when it is ready, and what it asks for from
    then on, used or not; so do the stacks of threads that tasks start. Shared memory and what is mapped from
    files, such as the code of libraries, do not count. Each child that a task forks may take as much again.
    The arguments of one task may take about half of it, because the worker needs as much again to receive and
    unpickle them; a task with larger ones ends with PayloadTooLargeError.
    A worker that has no memory left for receiving tasks or sending results ends, and another takes its place.

    Attributes:
        cpu: cores, also a fraction.
        memory: bytes, or a size such as ``"16GB"`` or ``"16GiB"``; None for what the launcher gives by
            default, which is no limit on this machine.
        gpus: whole GPUs.

    Raises:
        ValueError: naming the value and its rule.
    """

    cpu: float = 1
    memory: str | int | None = None
    gpus: int = 0

    def __post_init__(self) -> None:
        if not is_number(self.cpu) or self.cpu <= 0:
            raise ValueError(f"ResourceSpec.cpu must be a positive number of cores, got {self.cpu!r}")
        if not is_int(self.gpus, least=0):
            raise ValueError(f"ResourceSpec.gpus must be a whole number, 0 or more, got {self.gpus!r}")
        try:
            _ = self.memory_bytes
        except ValueError as error:
            raise ValueError(f"ResourceSpec.{error}") from None

    @property
    def memory_bytes(self) -> int | None:
        """`memory` in bytes."""
        return None if self.memory is None else parse_memory(self.memory)
