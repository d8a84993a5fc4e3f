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

from iris_actor.work.process.memory_limit import in_words

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


_Home = tuple[_Hierarchy, str]


class _Count:
    """How many victims one of the kernel's files counts."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._seen = self._read()
        self._rises: deque[float] = deque()

    @property
    def readable(self) -> bool:
        """Whether it counts at all."""
        return self._seen is not None

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
        if not self._rises:
            return False
        self._rises.popleft()
        return True

    def _read(self) -> int | None:
        if self._file is None:
            return None
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
        self._counts: dict[_Home, _Count] = {}
        self._homes: dict[int, _Home] = {}
        self._next_look = 0.0

    def watch(self, pid: int) -> None:
        """From now on, notice where the process is and whom the killer takes there."""
        with self._lock:
            self._locate(pid)

    def look(self) -> None:
        """Look again, unless the last time was just now: a process may have been moved to another cgroup."""
        with self._lock:
            if time.monotonic() < self._next_look:
                return
            for pid in list(self._homes):
                self._locate(pid)
            self._look()

    def killed(self, pid: int) -> str:
        """What the killer had to do with the end of a process by SIGKILL; empty when nothing is known.

        To be called before the process is reaped.
        """
        with self._lock:
            self._look()
            home = self._homes.get(pid)
            one_of_machine = self._machine.take()
            if home is not None:
                count = self._counts[home]
                if count.take():
                    return f"{KILLER} ended it ({_limits(*home)})"
                # cgroup v2 shows the dead where they died, v1 does not.
                if home[0] is self._v2 and count.readable and self._home(pid) == home:
                    return ""
            return f"{KILLER} probably ended it" if one_of_machine else ""

    def forget(self, pid: int) -> None:
        """The process is gone."""
        with self._lock:
            self._homes.pop(pid, None)
            homes = set(self._homes.values())
            self._counts = {home: count for home, count in self._counts.items() if home in homes}

    def _locate(self, pid: int) -> None:
        home = self._home(pid)
        if home is None or (pid in self._homes and home == (self._v1, "/")):
            return  # v1 shows in its root what is about to die
        self._homes[pid] = home
        if home not in self._counts:
            folder = home[0].folder(home[1])
            self._counts[home] = _Count(folder / home[0].events if folder is not None else None)

    def _home(self, pid: int) -> _Home | None:
        """The hierarchy with the memory controller, and the cgroup of the process in it."""
        home = None
        with suppress(OSError):
            for line in (self._proc / str(pid) / "cgroup").read_text().splitlines():
                _, controllers, cgroup = line.split(":", 2)
                if self._v1 is not None and "memory" in controllers.split(","):
                    return self._v1, cgroup
                if self._v2 is not None and not controllers:
                    home = self._v2, cgroup
        return home

    def _look(self) -> None:
        self._next_look = time.monotonic() + _LOOK
        for count in (self._machine, *self._counts.values()):
            count.look()


def _hierarchies(proc: Path) -> tuple[_Hierarchy | None, _Hierarchy | None]:
    """The mounts of cgroup v1's memory controller and of cgroup v2."""
    v1 = v2 = None
    with suppress(OSError):
        for line in (proc / "self" / "mountinfo").read_text().splitlines():
            fields, _, source = line.partition(" - ")
            root, mount = fields.split()[3:5]
            kind, _, options = source.split()
            if kind == "cgroup" and "memory" in options.split(","):
                v1 = _Hierarchy(Path(mount), root, "memory.oom_control", "memory.limit_in_bytes")
            elif kind == "cgroup2":
                v2 = _Hierarchy(Path(mount), root, "memory.events", "memory.max")
    return v1, v2


def _limits(hierarchy: _Hierarchy, cgroup: str) -> str:
    """The lowest limit that holds for `cgroup`, its own or that of one above it."""
    lowest, where = _NO_LIMIT, ""
    path = cgroup
    while True:
        folder = hierarchy.folder(path)
        if folder is not None:
            with suppress(OSError, ValueError):
                limit = int((folder / hierarchy.limit).read_text())
                if limit < lowest:
                    lowest, where = limit, path
        if path in {"", "/"}:
            break
        path = path.rpartition("/")[0] or "/"
    return f"cgroup {where}: limit {in_words(lowest)}" if where else f"cgroup {cgroup}: no limit"
