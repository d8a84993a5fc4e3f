"""A test over its time fails, with the stacks of all threads, and the run goes on; a plugin of pytest.

There are two limits. At the first one pytest-timeout prints the stacks and raises in the main thread, where
a wait for a lock, a socket or a process ends. Some tests do not end by that: the main thread is in C code
that keeps the interpreter's lock, or something swallows the exception, or the fixtures hang in their turn.
`GRACE` seconds later faulthandler prints the stacks and ends the process, without the interpreter's help.
pytest-xdist notices, has the test fail, and starts another process for the rest.

xdist notices by the end of the pipe to the process. A child that the test forked would hold it open, so it
lets go at once of the pipes that lead to the parent process. Copies of standard error are among them: who
reads that (`make test | tee log`) would wait for the child, too.
"""

from __future__ import annotations

import faulthandler
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

GRACE = 30.0
"""Seconds that a test over its time has to end, fixtures included."""

_stderr = pytest.StashKey[int]()
_end = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "timeout_grace", "seconds from a test's timeout to the end of its process", default=str(GRACE)
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_stderr] = os.dup(2)  # before a test's output is captured
    pipes = {target for _, target in _open_pipes(os.getppid())}
    os.register_at_fork(after_in_child=lambda: _let_go(pipes))


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[_stderr])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    limit = _limit(item)
    if not limit:
        return (yield)
    item.config.stash[_end] = time.monotonic() + limit + float(item.config.getini("timeout_grace"))
    _arm(item)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
        del item.config.stash[_end]


@pytest.hookimpl
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    # pytest has just cancelled what faulthandler was asked for, whoever had asked; fixtures are still to end.
    if _end in node.config.stash:
        _arm(node)


def _arm(node: pytest.Item | pytest.Collector) -> None:
    left = max(0.001, node.config.stash[_end] - time.monotonic())
    faulthandler.dump_traceback_later(left, exit=True, file=node.config.stash[_stderr])


def _limit(item: pytest.Item) -> float:
    """Seconds that pytest-timeout gives the test; 0 for no limit."""
    marker = item.get_closest_marker("timeout")
    if marker is not None:
        return float(marker.args[0] if marker.args else marker.kwargs["timeout"])
    option = item.config.getoption("timeout")
    return float(option if option is not None else item.config.getini("timeout") or 0)


def _open_pipes(pid: int) -> Iterator[tuple[int, str]]:
    """Descriptors of the process that are pipes, each with the name of the pipe."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError, PermissionError):  # closed meanwhile; or a parent of another user
            target = str(entry.readlink())
            if target.startswith("pipe:"):
                yield int(entry.name), target


def _let_go(pipes: set[str]) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for number, target in list(_open_pipes(os.getpid())):
        if number > 2 and target in pipes:
            os.dup2(nothing, number, inheritable=False)  # not closed: Python objects think that they own it
    os.close(nothing)
