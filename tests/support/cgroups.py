"""A cgroup with a memory limit, in which the kernel's out-of-memory killer really kills."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.waiting import until

_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")


class MemoryCgroup:
    """A cgroup of this test's. Processes enter it by `entrance`: they write their pid there."""

    def __init__(self, folder: Path, limit: int, *, v2: bool) -> None:
        self.folder = folder
        self.entrance = folder / "cgroup.procs"
        folder.mkdir()
        try:
            (folder / ("memory.max" if v2 else "memory.limit_in_bytes")).write_text(str(limit))
            with suppress(OSError):  # without it, memory would go to the swap instead of running out
                (folder / ("memory.swap.max" if v2 else "memory.swappiness")).write_text("0")
        except OSError:
            folder.rmdir()
            raise

    def remove(self) -> None:
        """Take it away, once all that was in it has ended."""
        until(lambda: not self.entrance.read_text(), what=f"the end of the processes in {self.folder}")
        until(self._removed, what=f"the removal of {self.folder}")

    def _removed(self) -> bool:
        with suppress(OSError):
            self.folder.rmdir()
        return not self.folder.exists()


@contextmanager
def memory_cgroup(limit: int) -> Iterator[MemoryCgroup]:
    """A cgroup of `limit` bytes. Where none can be made the test is skipped; on CI it fails then."""
    name = f"iris-test-{uuid.uuid4().hex[:8]}"
    v2 = not _V1.is_dir()
    try:
        group = MemoryCgroup((_V2 if v2 else _V1) / name, limit, v2=v2)
    except OSError as error:
        if os.environ.get("IRIS_CI"):
            raise
        pytest.skip(f"no cgroup with a memory limit can be made here: {error}")
    try:
        yield group
    finally:
        group.remove()
