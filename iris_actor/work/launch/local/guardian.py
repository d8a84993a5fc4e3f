"""Guardian: a small process that outlives a driver just long enough to kill what the driver started.

::

    driver ──(stdin: "+123\\n" / "-123\\n", process groups come and go)──▶ guardian
       │                                                                    │ on EOF, or when the
       └── starts workers, each in a session of its own ◀──── SIGKILL ──────┘ driver is gone

It is no thread of the driver's, so SIGKILL of the driver leaves it alive; and none of the worker's, so user
code that keeps the GIL cannot hold it up. It runs in its own session, where neither Ctrl-C nor the end of
the terminal reaches it. Two ways lead to the processes: the groups that the driver told it of, and a marker
in the environment that children inherit, which also finds those that left their group.

This file is run as a script by an isolated interpreter (``-I -S``) and must import nothing but cheap parts
of the standard library.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

POLL = 0.25
"""Seconds between looks at the parent, where the system cannot report its end."""
SWEEP = 5.0
"""Seconds after which sweeping gives up; what is left then cannot be killed."""


def _watch_parent(parent: int) -> int | None:
    try:
        return os.pidfd_open(parent)
    except (AttributeError, OSError):
        return None


def _serve(parent: int, groups: set[int]) -> None:
    """Take notice of groups until the driver closes the pipe or is gone."""
    pidfd = _watch_parent(parent)
    sources = [0] if pidfd is None else [0, pidfd]
    rest = b""
    while os.getppid() == parent:
        ready, _, _ = select.select(sources, [], [], POLL if pidfd is None else None)
        if 0 not in ready:
            continue
        data = os.read(0, 65536)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            (groups.add if line.startswith(b"+") else groups.discard)(int(line[1:]))


def _marked(marker: bytes) -> list[int]:
    """Processes with `marker` in the environment that they were started with."""
    found = []
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():  # noqa: PTH112, PTH208 - pathlib is dear to import
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:  # noqa: PTH123
                if marker in file.read():
                    found.append(int(entry))
        except OSError:
            continue
    return found


def _kill(group: int) -> bool:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        return False
    return True


def sweep(marker: bytes, groups: set[int]) -> None:
    """Kill `groups` and every process with `marker` until a look finds none."""
    for group in groups:
        _kill(group)
    give_up = time.monotonic() + SWEEP
    quiet = 0
    while quiet < 2 and time.monotonic() < give_up:
        found = _marked(marker)
        quiet = 0 if found else quiet + 1
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        # A second look: a process that was between fork and exec at the first had no readable marker.
        time.sleep(0.01)


def main() -> None:
    """Usage: guardian.py <pid of the driver> <marker>."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    try:
        _serve(int(sys.argv[1]), groups)
    finally:
        sweep(sys.argv[2].encode(), groups)


if __name__ == "__main__":
    main()
