"""WorkerStarter: starts the workers of a pool with the launcher of a site, and finds them in its registry.

::

    start ─▶ launcher ─▶ process ─▶ registry ─▶ find ─▶ link ─▶ set_up (the initializer)
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from iris_actor import codec
from iris_actor.rpc.credentials import Credentials
from iris_actor.work.launch.launcher import check_launch
from iris_actor.work.pool.config import WorkerPoolConfig
from iris_actor.work.pool.monitor.pool_monitor import PoolMonitor
from iris_actor.work.pool.monitor.pool_status import PoolStatus
from iris_actor.work.pool.payload.driver_settings import current_settings
from iris_actor.work.pool.workers.exit_threads import start_threads_for_exit
from iris_actor.work.pool.workers.worker_launch import worker_spec
from iris_actor.work.pool.workers.worker_link import WorkerLink
from iris_actor.work.pool.workers.worker_process import WorkerProcess, worker_name
from iris_actor.work.process.process_secrets import new_secret
from iris_actor.work.site import Site
from iris_actor.work.worker.task_wire import INITIALIZER, TaskMessage, pack
from iris_actor.work.worker.worker_main import actor_name


class WorkerStarter:
    """The `WorkerSource` of a pool. For the thread of its engine.

    Args:
        site: whose launcher and registry are used.
        config: of the pool.
        pool_name: the pool's name.
        wake: has the engine look at its workers.
        status: tells what the pool looks like, in any thread.
        disconnect: gives the site back.
    """

    def __init__(
        self,
        site: Site,
        config: WorkerPoolConfig,
        *,
        pool_name: str,
        wake: Callable[[], None],
        status: Callable[[], PoolStatus],
        disconnect: Callable[[], None],
    ) -> None:
        self._site = site
        self._config = config
        self._pool_name = pool_name
        self._wake = wake
        self._disconnect = disconnect
        self._monitor = PoolMonitor(site, pool_name, status)
        self._is_prepared = False
        self._unsubscribe: dict[int, Callable[[], None]] = {}
        self._token = new_secret()
        self._hash_seed = 1 + int.from_bytes(os.urandom(4), "big") % (2**32 - 1)  # 0 would turn it off

    @property
    def poll_interval(self) -> float:
        """See `WorkerSource`."""
        return self._site.launcher.traits.poll_interval

    @property
    def initializes(self) -> bool:
        """See `WorkerSource`."""
        return self._config.initializer is not None

    def start(self, first: int, numbers: Sequence[int]) -> list[WorkerProcess]:
        """See `WorkerSource`."""
        site = self._site
        launch_id = uuid.uuid4().hex
        indices = range(first, first + len(numbers))
        spec = worker_spec(
            site,
            self._config,
            pool_name=self._pool_name,
            launch_id=launch_id,
            token=self._token,
            hash_seed=self._hash_seed,
            names=[worker_name(index) for index in indices],
            first=first,
        )
        launch = site.launcher.launch(spec, notify=self._wake)
        check_launch(launch)
        for index in indices:
            if index not in self._unsubscribe:
                name = self._actor_name(index)
                self._unsubscribe[index] = site.resolver.subscribe(name, self._wake)
        return [
            WorkerProcess(number, first + replica, launch=launch, replica=replica, launch_id=launch_id)
            for replica, number in enumerate(numbers)
        ]

    def _actor_name(self, index: int) -> str:
        return actor_name(self._pool_name, worker_name(index))

    def find(self, process: WorkerProcess) -> WorkerLink | None:
        """See `WorkerSource`."""
        found = self._site.resolver.known(self._actor_name(process.index))
        for endpoint in () if found is None else found.endpoints:
            if endpoint.metadata.get("launch") == process.launch_id:
                return WorkerLink(endpoint, Credentials(token=self._token))
        return None

    def set_up(self, process: WorkerProcess, on_reply: Callable[[Future[Any]], None]) -> None:
        """See `WorkerSource`."""
        config = self._config
        # Not a task: it has no future, is not retried, and nobody counts it.
        body = codec.dumps((config.initializer, config.initargs, {}))
        message = tuple(TaskMessage(INITIALIZER, 0, pack(body), spread=False))
        if process.link is not None:
            process.link.run(0, [], [], [message], current_settings(), on_reply)

    def forget(self, index: int) -> None:
        """See `WorkerSource`."""
        unsubscribe = self._unsubscribe.pop(index, None)
        if unsubscribe is not None:
            unsubscribe()

    def prepare(self) -> None:
        """See `WorkerSource`."""
        if not self._is_prepared:
            self._is_prepared = True
            self._monitor.start()
            start_threads_for_exit(self._site, self._monitor)

    def close(self) -> None:
        """See `WorkerSource`."""
        self._monitor.stop()
        self._disconnect()
