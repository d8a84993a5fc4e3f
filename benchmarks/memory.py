"""How much memory a process has, as Linux counts it: resident pages, those shared with others included."""

from __future__ import annotations

from pathlib import Path


def resident(pid: int) -> int:
    """Bytes that the process has in memory now."""
    return _field(pid, "VmRSS")


def peak(pid: int) -> int:
    """The most bytes that it had since `forget_peak`, or since it began."""
    return _field(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def _field(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/{pid}/status has no {name}")
