"""What a pool tells a launcher about its workers: the command, environment and secrets of `worker_main`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from iris_actor.actor.environment import JOB_ID, REGISTRY
from iris_actor.work.launch.launch_spec import LaunchSpec
from iris_actor.work.pool.config import WorkerPoolConfig
from iris_actor.work.process import log_sender
from iris_actor.work.site import Site
from iris_actor.work.worker import worker_main
from iris_actor.work.worker.boot import WITNESS

HASH_SEED = "PYTHONHASHSEED"
"""Environment variable by which Python is told from what it derives the hashes of strings."""


def worker_spec(
    site: Site,
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
    launcher = site.launcher
    traits = launcher.traits
    secrets = {REGISTRY: site.registry_url, worker_main.TOKEN: token}
    env = {
        # gRPC's own handlers make about every second child crash that a task forks (a data loader, say)
        # while the I/O thread runs. A forked child cannot use our connections either way.
        "GRPC_ENABLE_FORK_SUPPORT": "0",
        # Workers agree on the hashes of strings, those that replace others included: a table that one
        # task has filled by hash is of use to another.
        HASH_SEED: os.environ.get(HASH_SEED, str(hash_seed)),
        **{name: value for name, value in config.env.items() if name not in secrets},
        JOB_ID: str(site.job_id.child(pool_name)),
        worker_main.POOL: pool_name,
        worker_main.FIRST: str(first),
        worker_main.LAUNCH: launch_id,
        worker_main.HOST: traits.bind_host,
        worker_main.PATH: worker_main.driver_path(),
        worker_main.LOGGING: log_sender.driver_levels(),
    }
    if not traits.shares_memory:
        env[WITNESS] = "1"
    return LaunchSpec(
        name=pool_name,
        # -P: what lies in the working directory is not to be found before the driver's path is there; and
        # CPython 3.13.0 fails where that directory was deleted.
        command=(*launcher.python, "-P", "-c", worker_main.BOOT),
        replicas=len(names),
        labels=tuple(names),
        resources=config.resources,
        cwd=None if config.cwd is None else os.fspath(config.cwd),
        env=env,
        secrets=secrets,
    )
