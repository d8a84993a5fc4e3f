"""A gate at which tasks in other processes wait until the test opens it."""

from __future__ import annotations

import fcntl
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Gate:
    """Closed when it is made; leaving the context opens it. Tasks call ``wait_at(gate.name)``."""

    def __init__(self, folder: Path, name: str = "gate") -> None:
        self.name = str(folder / name)
        self._file = Path(self.name).open("w")  # noqa: SIM115 - closing it is what opens the gate
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def open(self) -> None:
        """Let all through, also those who come later. Idempotent."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.open()


def wait_at(name: str, value: Any = None) -> Any:
    """Returns `value` once the gate is open."""
    with Path(name).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    return value
