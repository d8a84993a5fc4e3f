"""iris-actor: a server process with one actor, and a WorkerPool of two; everything at its defaults."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from benchmarks.peers.base import CHUNKSIZE, WORKERS, increment, nap
from benchmarks.peers.executors import submit_all
from benchmarks.processes import ServerProcess, announce, wait_for_end
from iris_actor import ActorServer, FixedResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iris_actor import WorkerPool


class Bench:
    def echo(self, x: Any) -> Any:
        return x


class Iris:
    distributions = ("iris-actor", "grpcio", "protobuf", "cloudpickle")

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._server: ServerProcess | None = None
        self._workers: WorkerPool | None = None

    def start(self) -> None:
        self._server = ServerProcess(__name__)
        self._actors = FixedResolver({"bench": [self._server.address]}).lookup("bench")

    def stop(self) -> None:
        if self._workers is not None:
            self._workers.shutdown()
        if self._server is not None:
            self._server.stop()

    def _pool(self) -> WorkerPool:
        # Only when tasks are measured: idle workers have no business in the other figures.
        if self._workers is None:
            from iris_actor import WorkerPool

            self._workers = WorkerPool(num_workers=WORKERS)
        return self._workers

    def calls(self) -> Mapping[str, Callable[[int], Any]]:
        actors = self._actors

        def call(x: int) -> Any:
            return actors.call().echo(x)

        async def acall(x: int) -> Any:
            return await actors.acall().echo(x)

        return {"call": call, "acall": acall}

    def floods(self) -> Mapping[str, Callable[[list[int]], Any]]:
        actors = self._actors

        def submit(values: list[int]) -> list[Any]:
            futures: list[Future[Any]] = [actors.submit().echo(x) for x in values]
            return [future.result() for future in futures]

        async def acall(values: list[int]) -> list[Any]:
            return await asyncio.gather(*[actors.acall().echo(x) for x in values])

        return {"submit": submit, "acall": acall}

    def echoes(self) -> Mapping[str, Callable[[Any], Any]]:
        actors = self._actors
        return {"call": lambda array: actors.call().echo(array)}

    def tasks(self) -> Mapping[str, Callable[[list[int]], Any]]:
        return {"WorkerPool.submit": lambda values: submit_all(self._pool(), increment, values)}

    def naps(self) -> Mapping[str, Callable[[list[int]], Any]]:
        return {"WorkerPool.submit": lambda values: submit_all(self._pool(), nap, values)}

    def maps(self) -> Mapping[str, Callable[[list[int]], Any]]:
        return {
            "WorkerPool.map": lambda values: list(self._pool().map(increment, values, chunksize=CHUNKSIZE))
        }


create = Iris


def serve() -> None:
    server = ActorServer()
    server.register("bench", Bench())
    server.serve_background()
    announce(server.address)
    wait_for_end()


if __name__ == "__main__":
    serve()
