"""iris-actor: a server process with one actor, and a WorkerPool of two; everything at its defaults."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.crowd import Crowd
from benchmarks.peers.base import CHUNKSIZE, CLIENTS, ENDPOINTS, MANY, SERVERS, WORKERS, increment
from benchmarks.peers.executors import submit_all
from benchmarks.processes import FreshProcess, ServerProcess, announce, wait_for_end
from iris_actor import ActorServer, FixedResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.peers.iris_fleet import Fleet
    from iris_actor import ActorPool, EtcdResolver, ResolveResult, WorkerPool

IMPORT = "import iris_actor\ntell(x + 1)"
IMPORT_ALL = "from iris_actor import ActorServer, EtcdResolver, FixedResolver, WorkerPool\ntell(x + 1)"
START = """\
from benchmarks.peers.base import increment
from iris_actor import WorkerPool
with WorkerPool(num_workers=2) as pool:
    tell(pool.submit(increment, x).result())
"""


class Bench:
    def echo(self, x: Any) -> Any:
        return x

    def numbers(self, first: int, end: int) -> Iterator[int]:
        yield from range(first, end)

    async def rest(self, x: int) -> int:
        """A call that is pending until its caller goes."""
        await asyncio.sleep(3600)
        return x


def connect_flood(address: str) -> Callable[[list[int]], list[int]]:
    """A client of the crowd."""
    return partial(submit, FixedResolver({"bench": [address]}).lookup("bench"))


def submit(actors: ActorPool[Any], values: list[int]) -> list[Any]:
    futures: list[Future[Any]] = [actors.submit().echo(x) for x in values]
    return [future.result() for future in futures]


class Iris:
    """Whatever a benchmark needs beside the one server is started when it is first asked for: idle workers
    and servers have no business in the other figures."""

    distributions = ("iris-actor", "grpcio", "protobuf", "cloudpickle")

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._server: ServerProcess | None = None
        self._registry: ServerProcess | None = None
        self._workers: WorkerPool | None = None
        self._servers: Fleet | None = None
        self._resolvers: dict[int, tuple[EtcdResolver, list[str]]] = {}
        self._clients: dict[int, Crowd] = {}

    def start(self) -> None:
        self._server = server = ServerProcess(__name__)
        self._clients = {size: Crowd(connect_flood, server.address, size) for size in (MANY, CLIENTS, 1)}
        self._actors = FixedResolver({"bench": [self._server.address]}).lookup("bench")

    def stop(self) -> None:
        for crowd in self._clients.values():
            crowd.stop()
        self._close_resolvers()
        if self._workers is not None:
            self._workers.shutdown()
        for started in (self._servers, self._registry, self._server):
            if started is not None:
                started.stop()

    def _pool(self) -> WorkerPool:
        if self._workers is None:
            from iris_actor import WorkerPool

            self._workers = WorkerPool(num_workers=WORKERS)
        return self._workers

    def _fleet(self) -> Fleet:
        if self._servers is None:
            from benchmarks.peers.iris_fleet import Fleet

            self._servers = Fleet(MANY)
        return self._servers

    def _registry_url(self) -> str:
        if self._registry is None:
            self._registry = ServerProcess("benchmarks.peers.iris_registry", timeout=50.0)
        return self._registry.address

    def _resolver(self, names: int) -> EtcdResolver:
        from benchmarks.peers.iris_registry import name, namespace
        from iris_actor import EtcdResolver

        resolver = EtcdResolver(self._registry_url(), namespace=namespace(names))
        if not resolver.wait_synced(name(0), timeout=30.0):
            resolver.close()
            raise RuntimeError("the resolver has no listing after 30 s")
        return resolver

    def _close_resolvers(self) -> None:
        for resolver, _ in self._resolvers.values():
            resolver.close()
        self._resolvers.clear()

    def calls(self) -> Mapping[str, Callable[[int], Any]]:
        actors = self._actors

        def call(x: int) -> Any:
            return actors.call().echo(x)

        async def acall(x: int) -> Any:
            return await actors.acall().echo(x)

        return {"call": call, "acall": acall}

    def handovers(self) -> Mapping[str, Callable[[int], Any]]:
        return {"call": self.calls()["call"]}

    def floods(self) -> Mapping[str, Callable[[list[int]], Any]]:
        actors = self._actors

        async def acall(values: list[int]) -> list[Any]:
            return await asyncio.gather(*[actors.acall().echo(x) for x in values])

        return {"submit": partial(submit, actors), "acall": acall}

    def echoes(self) -> Mapping[str, Callable[[Any], Any]]:
        actors = self._actors
        return {"call": lambda array: actors.call().echo(array)}

    def byte_echoes(self) -> Mapping[str, Callable[[bytes], Any]]:
        return self.echoes()

    def streams(self) -> Mapping[str, Callable[[range], Any]]:
        actors = self._actors
        return {"stream": lambda items: list(actors.stream().numbers(items.start, items.stop))}

    def broadcasts(self, members: int) -> Mapping[str, Callable[[int], Any]]:
        actors = self._fleet().pool(members)

        def broadcast(x: int) -> list[Any]:
            return [outcome.result() for outcome in actors.broadcast().tell(x).wait_all()]

        def loop(x: int) -> list[Any]:
            return [actors.call().tell(x) for _ in range(members)]

        return {"broadcast": broadcast, "a loop of calls": loop}

    def crowds(self) -> Mapping[str, Callable[[list[int]], Any]]:
        return {
            f"{size} client{'s' if size > 1 else ''}": crowd.flood for size, crowd in self._clients.items()
        }

    def fleets(self) -> Mapping[str, Callable[[list[int]], Any]]:
        fleet = self._fleet()
        return {f"{size} servers": partial(submit, fleet.pool(size)) for size in (MANY, SERVERS, 2)}

    def dispatches(self) -> Mapping[str, Callable[[list[int]], Any]]:
        from benchmarks.peers.iris_dispatch import Dispatch

        return {f"{workers} workers": Dispatch(workers).run for workers in (100, 10, 2)}

    def tasks(self, task: Callable[[int], int]) -> Mapping[str, Callable[[list[int]], Any]]:
        return {"WorkerPool.submit": lambda values: submit_all(self._pool(), task, values)}

    def maps(self) -> Mapping[str, Callable[[list[int]], Any]]:
        return {
            "WorkerPool.map": lambda values: list(self._pool().map(increment, values, chunksize=CHUNKSIZE))
        }

    def resolves(self, names: int) -> Mapping[str, Callable[[list[int]], Any]]:
        from benchmarks.peers.iris_registry import name

        if names not in self._resolvers:
            # A program has its names once, and asks with them again and again.
            self._resolvers[names] = self._resolver(names), [name(number) for number in range(names)]
        resolver, known = self._resolvers[names]
        resolve = resolver.resolve

        def results(numbers: list[int]) -> list[ResolveResult]:
            return [resolve(known[number]) for number in numbers]

        return {"resolve": results}

    def syncs(self) -> Mapping[str, Callable[[int], Any]]:
        # Resolvers of one namespace share what they know, so that a second one has nothing to fetch.
        self._close_resolvers()
        self._registry_url()
        return {"EtcdResolver": lambda _: self._resolver(ENDPOINTS)}

    def imports(self) -> Mapping[str, Callable[[int], FreshProcess]]:
        return {
            "import iris_actor": partial(FreshProcess, IMPORT),
            "all of it": partial(FreshProcess, IMPORT_ALL),
        }

    def starts(self) -> Mapping[str, Callable[[int], FreshProcess]]:
        return {"WorkerPool": partial(FreshProcess, START)}

    def memory(self, kind: str) -> Mapping[str, Callable[[int], Any]]:
        from benchmarks.peers.iris_memory import measure_fresh

        return {"": lambda count: measure_fresh(kind, count, __name__)}


create = Iris


def serve() -> None:
    server = ActorServer()
    server.register("bench", Bench())
    server.serve_background()
    announce(server.address)
    wait_for_end()


if __name__ == "__main__":
    serve()
