"""Functions that tests submit to pools: a module of their own, which a worker imports in no time."""

from __future__ import annotations

import os
import time
from pathlib import Path


def pid(_number: int = 0) -> int:
    return os.getpid()


def pid_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def triple(number: int) -> int:
    return number * 3


def triple_slowly(number: int) -> int:
    time.sleep(0.002)
    return number * 3


def pid_when_there_is(gate: Path) -> int:
    while not gate.exists():
        time.sleep(0.01)
    return os.getpid()
