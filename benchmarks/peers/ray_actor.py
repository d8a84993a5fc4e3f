"""Ray: an actor in its worker process, and tasks on two CPUs, in a cluster of this machine alone."""

from __future__ import annotations

import logging
import os
import tempfile
from typing import TYPE_CHECKING, Any

# Read when ray is imported.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"

import ray

from benchmarks.peers.base import WORKERS, increment, nap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Enough for a few arrays of 64 MB and small enough for a container's /dev/shm.
OBJECT_STORE = 768 << 20


@ray.remote
class Bench:
    def echo(self, x: Any) -> Any:
        return x


class Ray:
    distributions = ("ray",)
    loop = None

    def __init__(self) -> None:
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
        self._task = ray.remote(increment)
        self._nap = ray.remote(nap)
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

    def tasks(self) -> Mapping[str, Callable[[list[int]], Any]]:
        return {"tasks": lambda values: ray.get([self._task.remote(x) for x in values])}

    def naps(self) -> Mapping[str, Callable[[list[int]], Any]]:
        return {"tasks": lambda values: ray.get([self._nap.remote(x) for x in values])}


create = Ray
