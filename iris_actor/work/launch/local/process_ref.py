"""Refs of local launches: which processes of this machine they are, also for another process.

A pid alone may be another process's by now. So a ref also says when the process was started, on which
machine, and since which boot of that.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from iris_actor.work.launch.launcher import LOCAL_TRAITS
from iris_actor.work.process.birth import born


class ProcessRef(NamedTuple):
    """One process. `started` is when, in clock ticks since the machine's boot; 0 where nobody could tell."""

    pid: int
    started: int

    @property
    def runs(self) -> bool:
        """Whether it runs still."""
        return self.started != 0 and born(self.pid) == self.started


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()}/{boot[:8]}"


def make_ref(pids: Iterable[int]) -> str:
    """The ref of a launch whose replicas are these processes."""
    return f"{LOCAL_TRAITS.kind}:{_machine()}/{','.join(f'{pid}@{born(pid) or 0}' for pid in pids)}"


def read_ref(ref: str) -> list[ProcessRef]:
    """The processes that `ref` names.

    Raises:
        ValueError: it is none of a local launch, or one of another machine.
    """
    kind, _, rest = ref.partition(":")
    machine, _, pids = rest.rpartition("/")
    if kind != LOCAL_TRAITS.kind or not pids:
        raise ValueError(f"not the ref of a local launch: {ref!r}")
    if machine != _machine():
        raise ValueError(f"a launch of another machine, or before this one was started anew: {ref!r}")
    try:
        return [ProcessRef(*map(int, each.split("@"))) for each in pids.split(",")]
    except (TypeError, ValueError):
        raise ValueError(f"not the ref of a local launch: {ref!r}") from None
