"""dask.distributed: a LocalCluster of two worker processes, one thread each; an actor on one of them.

Actors are called over the client's own connection to their worker, tasks go by the scheduler. The scheduler
is a part of the client's process, as LocalCluster has it by default.
"""

from __future__ import annotations

import tempfile
from functools import partial
from typing import TYPE_CHECKING, Any

from distributed import Client, LocalCluster

from benchmarks.peers.base import WORKERS
from benchmarks.processes import FreshProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

START = """\
import tempfile
from benchmarks.peers.base import increment
from distributed import Client, LocalCluster
with tempfile.TemporaryDirectory(prefix="dask-", ignore_cleanup_errors=True) as folder:
    options = {"dashboard_address": None, "local_directory": folder}
    with LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster, Client(cluster) as client:
        tell(client.submit(increment, x).result())
"""


class Bench:
    def echo(self, x: Any) -> Any:
        return x


class Dask:
    distributions = ("dask", "distributed")
    loop = None

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="dask-", ignore_cleanup_errors=True)
        self._cluster: LocalCluster | None = None
        self._client: Client | None = None

    def start(self) -> None:
        self._cluster = LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=self._folder.name,
        )
        self._client = Client(self._cluster)
        self._actor = self._client.submit(Bench, actor=True).result()
        self._actor.echo(0).result()

    def stop(self) -> None:
        for part in (self._client, self._cluster):
            if part is not None:
                part.close()
        self._folder.cleanup()

    def calls(self) -> Mapping[str, Callable[[Any], Any]]:
        actor = self._actor
        return {"actor": lambda x: actor.echo(x).result()}

    def floods(self) -> Mapping[str, Callable[[list[int]], Any]]:
        actor = self._actor

        def flood(values: list[int]) -> list[Any]:
            futures = [actor.echo(x) for x in values]
            return [future.result() for future in futures]

        return {"actor": flood}

    def echoes(self) -> Mapping[str, Callable[[Any], Any]]:
        return self.calls()

    def byte_echoes(self) -> Mapping[str, Callable[[bytes], Any]]:
        return self.calls()

    def tasks(self, task: Callable[[int], int]) -> Mapping[str, Callable[[list[int]], Any]]:
        client = self._client
        assert client is not None

        def submit(values: list[int]) -> list[int]:
            # Not pure: a result that was computed before would be handed out again.
            results: list[int] = client.gather([client.submit(task, x, pure=False) for x in values])
            return results

        return {"submit": submit}

    def imports(self) -> Mapping[str, Callable[[int], FreshProcess]]:
        return {"import distributed": partial(FreshProcess, "import distributed\ntell(x + 1)")}

    def starts(self) -> Mapping[str, Callable[[int], FreshProcess]]:
        return {"LocalCluster": partial(FreshProcess, START)}


create = Dask
