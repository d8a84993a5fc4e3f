"""Exit hook: at the end of the interpreter pools finish their tasks and end their workers.

As the stdlib's executors do, a pool that was not shut down finishes what was submitted before the interpreter
exits; unless Ctrl-C ended the program, then its workers end at once. What is submitted later, by an atexit
handler or by a thread that goes on, is refused: nobody would wait for it. (Should the process end in another
way, no hook runs, and the launcher's guardian sees to the workers.)
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - its own hook must be registered first: the last one runs first
import os
import sys
import threading
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from iris_actor.threads.after_fork import ForkStage, at_fork
from iris_actor.work.pool.executor.lost_errors import log_lost_errors
from iris_actor.work.pool.executor.open_maps import OpenMaps


class Ends(Protocol):
    """What is ended before the interpreter exits: the engine of a pool.

    Attributes:
        forked_from: set in a forked child, to the process that it is of.
    """

    forked_from: int | None

    @property
    def over(self) -> bool:
        """Whether that has happened."""

    def end(self, *, kill: bool = False) -> None:
        """Finish what was submitted, or with `kill` nothing; returns at once."""

    def wait_over(self, timeout: float | None = None) -> None:
        """Wait until it is over."""


_engines: WeakKeyDictionary[Ends, OpenMaps] = WeakKeyDictionary()
_registered_in = 0
_exiting = False


def exiting() -> bool:
    """Whether the interpreter exits, and pools take no more tasks."""
    return _exiting


def at_exit(engine: Ends, maps: OpenMaps) -> None:
    """Have `engine` ended before the interpreter exits.

    Args:
        engine: of a pool.
        maps: of that pool. What it took on and has not submitted yet is submitted then.

    Raises:
        RuntimeError: the interpreter already exits.
    """
    global _registered_in  # noqa: PLW0603 - one hook a process
    if _registered_in != os.getpid():
        # Runs before non-daemon threads are joined and before atexit hooks, which stop the I/O thread.
        register: Any = getattr(threading, "_register_atexit", atexit.register)
        try:
            register(_end_all)
        except RuntimeError as error:
            raise _too_late() from error
        _registered_in = os.getpid()
    elif _exiting:
        raise _too_late()
    _engines[engine] = maps


def _too_late() -> RuntimeError:
    return RuntimeError("cannot make a WorkerPool after interpreter shutdown")


def _end_all() -> None:
    global _exiting  # noqa: PLW0603 - one interpreter a process
    if os.getpid() != _registered_in:  # a forked child: the workers are its parent's
        return
    interrupted = getattr(sys, "last_type", None)
    kill = isinstance(interrupted, type) and not issubclass(interrupted, Exception)
    pools = [(engine, maps) for engine, maps in _engines.items() if not engine.over]
    try:
        if not kill:
            _submit_rest(pools)
    except BaseException:  # Ctrl-C
        kill = True
    _exiting = True
    for engine, _ in pools:
        engine.end(kill=kill)
    for number, (engine, _) in enumerate(pools):
        try:
            engine.wait_over()
        except BaseException:  # Ctrl-C again
            with suppress(BaseException):
                for other, _ in pools[number:]:
                    other.end(kill=True)
                engine.wait_over(5)
    log_lost_errors()


def _submit_rest(pools: list[tuple[Ends, OpenMaps]]) -> None:
    for _, maps in pools:
        maps.read_on()


def _forget_in_child() -> None:
    # The threads of a pool are not in the child, so nobody would ever answer to what it asks.
    global _exiting  # noqa: PLW0603
    for engine in list(_engines):
        engine.forked_from = os.getppid()
    _engines.clear()
    _exiting = False


at_fork(ForkStage.HELD, in_child=_forget_in_child)
