"""What the pools of processes have in common: each is a `concurrent.futures.Executor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.peers.base import CHUNKSIZE, WORKERS, echo, increment, nap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor


def submit_all(executor: Executor, function: Callable[[int], int], values: list[int]) -> list[int]:
    futures = [executor.submit(function, x) for x in values]
    return [future.result() for future in futures]


class ExecutorPeer:
    """Calls go to a pool of one worker, as to one actor; tasks to a pool of two."""

    distributions: tuple[str, ...] = ()
    loop = None

    def __init__(self, factory: Callable[[int], Executor]) -> None:
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

    def tasks(self) -> Mapping[str, Callable[[list[int]], Any]]:
        return {"submit": lambda values: submit_all(self._executor(WORKERS), increment, values)}

    def naps(self) -> Mapping[str, Callable[[list[int]], Any]]:
        return {"submit": lambda values: submit_all(self._executor(WORKERS), nap, values)}

    def maps(self) -> Mapping[str, Callable[[list[int]], Any]]:
        return {
            "map": lambda values: list(self._executor(WORKERS).map(increment, values, chunksize=CHUNKSIZE))
        }
