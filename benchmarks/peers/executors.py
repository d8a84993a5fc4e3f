"""What the pools of processes have in common: each is a `concurrent.futures.Executor`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.peers.base import CHUNKSIZE, WORKERS, echo, increment
from benchmarks.processes import FreshProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor


START = """\
from benchmarks.peers.base import increment
from {} import ProcessPoolExecutor
with ProcessPoolExecutor(max_workers=2) as pool:
    tell(pool.submit(increment, x).result())
"""


def submit_all(executor: Executor, function: Callable[[int], int], values: list[int]) -> list[int]:
    futures = [executor.submit(function, x) for x in values]
    return [future.result() for future in futures]


class ExecutorPeer:
    """Calls go to a pool of one worker, as to one actor; tasks to a pool of two.

    `package` has `ProcessPoolExecutor`: what a fresh program imports and starts.
    """

    distributions: tuple[str, ...] = ()
    loop = None

    def __init__(self, factory: Callable[[int], Executor], package: str) -> None:
        self._package = package
        self._factory = factory
        self._executors: dict[int, Executor] = {}

    def start(self) -> None:
        self._executor(1).submit(echo, 0).result()

    def stop(self) -> None:
        for executor in self._executors.values():
            executor.shutdown()
        self._executors.clear()

    def _executor(self, workers: int) -> Executor:
        if workers not in self._executors:
            self._executors[workers] = self._factory(workers)
        return self._executors[workers]

    def calls(self) -> Mapping[str, Callable[[int], Any]]:
        executor = self._executor(1)
        return {"submit": lambda x: executor.submit(echo, x).result()}

    def floods(self) -> Mapping[str, Callable[[list[int]], Any]]:
        return {"submit": lambda values: submit_all(self._executor(1), echo, values)}

    def echoes(self) -> Mapping[str, Callable[[Any], Any]]:
        executor = self._executor(1)
        return {"submit": lambda array: executor.submit(echo, array).result()}

    def byte_echoes(self) -> Mapping[str, Callable[[bytes], Any]]:
        return self.echoes()

    def tasks(self, task: Callable[[int], int]) -> Mapping[str, Callable[[list[int]], Any]]:
        return {"submit": lambda values: submit_all(self._executor(WORKERS), task, values)}

    def imports(self) -> Mapping[str, Callable[[int], FreshProcess]]:
        code = f"from {self._package} import ProcessPoolExecutor\ntell(x + 1)"
        return {"": partial(FreshProcess, code)}

    def starts(self) -> Mapping[str, Callable[[int], FreshProcess]]:
        return {"ProcessPoolExecutor": partial(FreshProcess, START.format(self._package))}

    def maps(self) -> Mapping[str, Callable[[list[int]], Any]]:
        return {
            "map": lambda values: list(self._executor(WORKERS).map(increment, values, chunksize=CHUNKSIZE))
        }
