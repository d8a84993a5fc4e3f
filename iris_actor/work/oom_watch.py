"""OomWatch: tells whether it was the kernel's out-of-memory killer that ended a process.

The kernel does not say whom it killed, but counts its victims: per cgroup, in the cgroup that the victim was
in (``memory.events`` of cgroup v2, ``memory.oom_control`` of v1), and for the whole machine, in
``/proc/vmstat``. A process that SIGKILL ended while its cgroup's count rose was one of them; when only the
machine's rose, it probably was. The counts rise before the signal is sent.

Each rise explains one end, and only for a while: a task's child that the killer took an hour ago is no reason
why somebody kills the worker now.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from iris_actor.work.memory_limit import in_words

KILLER = "the kernel's out-of-memory killer"

_WINDOW = 15.0
"""Seconds from the killer's choice until the end of its victim, which has much memory to give back."""
_LOOK = 0.5
"""Seconds between two looks, unless somebody ended."""
_NO_LIMIT = 1 << 60


class _Hierarchy(NamedTuple):
    """Where the memory controller's cgroups are mounted, and what its files are called."""

    mount: Path
    root: str
    events: str
    limit: str

    def folder(self, cgroup: str) -> Path | None:
        """Where the files of `cgroup` are; None when it is out of our sight."""
        root = self.root.rstrip("/")
        if ".." in cgroup or (cgroup != root and not cgroup.startswith(f"{root}/")):
            return None
        return self.mount / cgroup[len(root) :].strip("/")


class _Count:
    """How many victims one of the kernel's files counts."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen = self._read()
        self._rises: deque[float] = deque()

    @property
    def readable(self) -> bool:
        return self._seen is not None

    @property
    def any(self) -> bool:
        """Whether there ever was one."""
        return bool(self._seen)

    def look(self) -> None:
        value, seen = self._read(), self._seen
        if value is not None and seen is not None and value > seen:
            self._rises.extend([time.monotonic()] * min(value - seen, 1000))
        if value is not None:
            self._seen = value

    def take(self) -> bool:
        """Whether there is a recent victim that nobody was found for; there is one less then."""
        while self._rises and self._rises[0] < time.monotonic() - _WINDOW:
            self._rises.popleft()
        return bool(self._rises) and self._rises.popleft() > 0

    def _read(self) -> int | None:
        with suppress(OSError, ValueError):
            for line in self._file.read_text().splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value)
        return None


class OomWatch:
    """Watches the cgroups of processes. Thread-safe.

    Args:
        proc: where the kernel tells of processes.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._lock = threading.Lock()  # guards what follows
        self._v1, self._v2 = _hierarchies(proc)
        self._machine = _Count(proc / "vmstat")
        self._counts: dict[tuple[_Hierarchy, str], _Count] = {}
        self._homes: dict[int, tuple[_Hierarchy, str]] = {}
        self._next_look = 0.0

    def watch(self, pid: int) -> None:
        """From now on, notice where the process is and whom the killer takes there."""
        with self._lock:
            self._find(pid, known=True)

    def look(self) -> None:
        """Look again, if the last time was not just now: a process may have been moved to another cgroup."""
        with self._lock:
            if time.monotonic() < self._next_look:
                return
            for pid in list(self._homes):
                self._find(pid, known=True)
            self._look()

    def killed(self, pid: int) -> str:
        """What is known of the killer's part in the end of a process by SIGKILL, in words; empty when nothing.

        To be called before the process is reaped.
        """
        with self._lock:
            fresh = self._find(pid, known=False)
            self._look()
            home = self._homes.get(pid)
            count = None if home is None else self._counts.get(home)
            of_machine = self._machine.take()
            if home is not None and count is not None and count.take():
                return f"{KILLER} ended it ({_cause(*home)})"
            if home is not None and count is not None and home[0] is self._v2 and not fresh and count.readable:
                return ""  # a dead process is still shown in its cgroup there: the killer took another one
            return f"probably {KILLER} ended it" if of_machine else ""

    def forget(self, pid: int) -> None:
        """The process is gone."""
        with self._lock:
            home = self._homes.pop(pid, None)
            if home is not None and home not in self._homes.values():
                self._counts.pop(home, None)
