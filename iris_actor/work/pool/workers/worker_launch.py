"""What a pool tells a launcher about its workers: the command and the environment of `worker_main`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from iris_actor.actor.environment import JOB_ID, REGISTRY
from iris_actor.work.client import IrisClient
from iris_actor.work.launch.launcher import LaunchSpec
from iris_actor.work.pool.config import WorkerPoolConfig
from iris_actor.work.worker import worker_logging, worker_main

HASH_SEED = "PYTHONHASHSEED"
"""Environment variable by which Python is told from what it derives the hashes of strings."""


def worker_spec(
    client: IrisClient,
    config: WorkerPoolConfig,
    *,
    pool_name: str,
    launch_id: str,
    token: str,
    hash_seed: int,
    names: Sequence[str],
    first: int,
) -> LaunchSpec:
    """The spec of workers with consecutive indices, beginning with `first`."""
    launcher = client.launcher
    return LaunchSpec(
        name=pool_name,
        # -P: what lies in the working directory is not to be found before the driver's path is there; and
        # CPython 3.13.0 fails where that directory was deleted.
        command=(*launcher.python, "-P", "-c", worker_main.BOOT),
        replicas=len(names),
        labels=tuple(names),
        resources=config.resources,
        cwd=None if config.cwd is None else os.fspath(config.cwd),
        env={
            # gRPC's own handlers make about every second child crash that a task forks (a data loader, say)
            # while the I/O thread runs. A forked child cannot use our connections either way.
            "GRPC_ENABLE_FORK_SUPPORT": "0",
            # Workers agree on the hashes of strings, those that replace others included: a table that one
            # task has filled by hash is of use to another.
            HASH_SEED: os.environ.get(HASH_SEED, str(hash_seed)),
            **config.env,
            REGISTRY: client.registry_url,
            JOB_ID: str(client.job_id.child(pool_name)),
            worker_main.POOL: pool_name,
            worker_main.FIRST: str(first),
            worker_main.LAUNCH: launch_id,
            worker_main.HOST: launcher.bind_host,
            worker_main.TOKEN: token,
            worker_main.PATH: worker_main.driver_path(),
            worker_main.LOGGING: worker_logging.driver_levels(),
        },
    )
