"""The client side of one peer, in a process of its own: does the runner's commands, one at a time.

    python -m benchmarks.driver PEER FD      (FD: the runner's end of a pipe)

Peers get a process each because they disturb one another in a shared one: background threads, event loops
and signal handlers of one would be in the figures of the next.
"""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import sys
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from benchmarks import peers, processes
from benchmarks.measure import Budget, MismatchError, measure
from benchmarks.plan import BENCHMARKS

if TYPE_CHECKING:
    from benchmarks.peers.base import Peer


class Driver:
    """Holds the peer between commands."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._peer: Peer | None = None

    def do(self, command: str, *args: Any) -> Any:
        return getattr(self, f"_do_{command}")(*args)

    def _do_start(self) -> list[str]:
        self._peer = peers.create(self._name)
        self._peer.start()
        return list(self._peer.distributions)

    def _do_ways(self, benchmark: str) -> list[str]:
        return list(BENCHMARKS[benchmark].ways_of(self._peer))

    def _do_measure(self, benchmark: str, way: str, budget: Budget, give_up_after: float) -> dict[str, float]:
        assert self._peer is not None
        plan = BENCHMARKS[benchmark]
        # A peer that hangs inside its own C code can be ended no other way; the runner reports it.
        faulthandler.dump_traceback_later(give_up_after, exit=True)
        try:
            do = plan.ways_of(self._peer)[way]
            if plan.settles:
                few = Budget(seconds=0.0, at_least=plan.settles, at_most=plan.settles)
                measure(do, plan.feed(few), self._peer.loop)
            return measure(do, plan.feed(budget), self._peer.loop)
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _do_stop(self) -> None:
        if self._peer is not None:
            self._peer.stop()


def portable(error: Exception) -> Exception:
    """An exception that the runner can unpickle without the peer's packages."""
    if isinstance(error, MismatchError):
        return error
    if isinstance(error, ImportError):
        return ImportError(f"not installed: {error}")
    return RuntimeError(f"{type(error).__name__}: {error}".splitlines()[0][:300])


def main(name: str, descriptor: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    processes.end_with_parent()
    driver = Driver(name)
    told_to_stop = False
    try:
        with Connection(descriptor) as pipe:
            while not told_to_stop:
                command = pipe.recv()
                try:
                    answer = driver.do(*command)
                except Exception as error:
                    sys.excepthook(type(error), error, error.__traceback__)
                    answer = portable(error)
                pipe.send(answer)
                told_to_stop = command == ("stop",)
    except (EOFError, BrokenPipeError):
        pass  # the runner is gone
    finally:
        if not told_to_stop:
            # Once is enough: a second one would break off the peer's own end.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            with contextlib.suppress(Exception):
                driver.do("stop")
            processes.end_own_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
