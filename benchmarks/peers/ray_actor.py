"""Ray: an actor in its worker process, and tasks on two CPUs, in a cluster of this machine alone."""

from __future__ import annotations

import logging
import os
import tempfile
from functools import partial
from typing import TYPE_CHECKING, Any

# Read when ray is imported.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"

import ray

from benchmarks.peers.base import WORKERS
from benchmarks.processes import FreshProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Enough for a few arrays of 64 MB and small enough for a container's /dev/shm.
OBJECT_STORE = 768 << 20
START = """\
import tempfile
import ray
from benchmarks.peers.base import increment
with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
    ray.init(address="local", num_cpus=2, object_store_memory=80 << 20, include_dashboard=False,
             log_to_driver=False, _temp_dir=folder)
    tell(ray.get(ray.remote(increment).remote(x)))
    ray.shutdown()
"""


@ray.remote
class Bench:
    def echo(self, x: Any) -> Any:
        return x

    def numbers(self, first: int, end: int) -> Iterator[int]:
        # Not `yield from`: Ray sends into what it iterates over, which a range cannot take.
        for x in range(first, end):  # noqa: UP028
            yield x


class Ray:
    distributions = ("ray",)
    loop = None

    def __init__(self) -> None:
        self._tasks: dict[Callable[[int], int], Any] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)

    def start(self) -> None:
        ray.init(
            address="local",
            num_cpus=WORKERS,
            object_store_memory=OBJECT_STORE,
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _temp_dir=self._folder.name,
        )
        # Tasks get both CPUs: an actor takes one only to be placed, none while it runs.
        self._actor = Bench.remote()
        ray.get(self._actor.echo.remote(0))

    def stop(self) -> None:
        ray.shutdown()
        self._folder.cleanup()

    def calls(self) -> Mapping[str, Callable[[int], Any]]:
        return {"": lambda x: ray.get(self._actor.echo.remote(x))}

    def floods(self) -> Mapping[str, Callable[[list[int]], Any]]:
        return {"": lambda values: ray.get([self._actor.echo.remote(x) for x in values])}

    def echoes(self) -> Mapping[str, Callable[[Any], Any]]:
        return {"": lambda array: ray.get(self._actor.echo.remote(array))}

    def byte_echoes(self) -> Mapping[str, Callable[[bytes], Any]]:
        return self.echoes()

    def streams(self) -> Mapping[str, Callable[[range], Any]]:
        def items(wanted: range) -> list[int]:
            references = self._actor.numbers.options(num_returns="streaming").remote(
                wanted.start, wanted.stop
            )
            return [ray.get(reference) for reference in references]

        return {"streaming generator": items}

    def tasks(self, task: Callable[[int], int]) -> Mapping[str, Callable[[list[int]], Any]]:
        if task not in self._tasks:
            self._tasks[task] = ray.remote(task)
        remote = self._tasks[task]
        return {"tasks": lambda values: ray.get([remote.remote(x) for x in values])}

    def imports(self) -> Mapping[str, Callable[[int], FreshProcess]]:
        return {"import ray": partial(FreshProcess, "import ray\ntell(x + 1)")}

    def starts(self) -> Mapping[str, Callable[[int], FreshProcess]]:
        return {"init": partial(FreshProcess, START)}


create = Ray
