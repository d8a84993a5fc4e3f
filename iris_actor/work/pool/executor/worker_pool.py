"""WorkerPool: a `concurrent.futures.Executor` whose workers are actors.

::

    submit, map ─▶ Engine ─▶ WorkerLink ═══ actor calls ═══▶ Worker ─▶ TaskRunner (main thread)
                     │                                         worker process
                     └─▶ WorkerSource: starts, finds, ends workers by a Launcher

What is promised: every future resolves. A task whose worker dies while it runs is run again, at most
`max_retries` times, and then ends as `WorkerLostError`; tasks that merely waited with that worker go
elsewhere without being charged. What a task raises is its outcome, and never a reason to run it again. When
no worker can be had any more, all futures fail with `BrokenWorkerPool`, which says why.

Shutdown order: no new tasks; the last results; SIGTERM to the workers, which withdraw from the registry;
the launcher; resolver and embedded etcd, where the pool made its own client.
"""

from __future__ import annotations

import dataclasses
import os
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType, TracebackType
from typing import Any, TypedDict, TypeVar, Unpack

from iris_actor import codec
from iris_actor.deadline import check_timeout
from iris_actor.retry import Backoff
from iris_actor.unpatched import check_threads
from iris_actor.work.client import IrisClient
from iris_actor.work.context import get_iris_ctx
from iris_actor.work.launch.launcher import LOCAL_TRAITS
from iris_actor.work.launch.output.progress_bars import shares_lock
from iris_actor.work.launch.resource_spec import ResourceSpec
from iris_actor.work.pool.config import WorkerPoolConfig, check_bounds
from iris_actor.work.pool.engine import Engine
from iris_actor.work.pool.executor.exit_hook import at_exit
from iris_actor.work.pool.executor.lost_errors import LostErrors
from iris_actor.work.pool.executor.open_maps import OpenMaps
from iris_actor.work.pool.executor.task_executor import TaskExecutor, check_not_forked, check_open
from iris_actor.work.pool.monitor.pool_status import PoolStatus
from iris_actor.work.pool.payload.task_options import TaskOptions
from iris_actor.work.pool.workers.exit_threads import EXIT_STARTS_NO_THREADS
from iris_actor.work.pool.workers.worker_starter import WorkerStarter

T = TypeVar("T")


class PoolOptions(TypedDict, total=False):
    """The fields of `WorkerPoolConfig`, as keywords of `WorkerPool`."""

    num_workers: int | tuple[int, int]
    resources: ResourceSpec
    max_retries: int
    name: str | None
    initializer: Callable[..., object] | None
    initargs: tuple[Any, ...]
    task_timeout: float | None
    cancel_grace: float
    max_tasks_per_worker: int | None
    idle_timeout: float
    max_restarts: int
    restart_backoff: Backoff
    start_timeout: float
    queue_timeout: float | None
    shutdown_grace: float
    env: Mapping[str, str]
    cwd: str | os.PathLike[str] | None
    by_value: Sequence[ModuleType]


class WorkerPool(TaskExecutor):
    """Runs functions in worker processes; a `concurrent.futures.Executor`. Thread-safe.

    Args:
        client: where workers announce themselves and what starts them. None takes the job's inside a job,
            else an embedded etcd and local processes that end with the pool.
        config: how to treat workers and tasks.
        max_workers: `num_workers` by its name in the standard library; None stands for the default, as there.
        fields: fields of `WorkerPoolConfig`; they win over those of `config`. The most used are
            `num_workers`, or a pair of the least and the most; `initializer` and `initargs`;
            `resources=ResourceSpec(cpu=1, memory="2GB")`; `task_timeout`; `max_retries`; `env` and `cwd`.

    Raises:
        ValueError, TypeError: for a bad configuration, or an initializer that cannot be pickled.
        PatchedThreadsError: (a RuntimeError) `threading` is monkey-patched, by gevent or eventlet.

    The constructor returns before the workers run; `wait_for_workers` waits for them. Functions of
    ``__main__``, lambdas and closures may be submitted; see `functions` for when they are captured. Tasks
    run in the main thread of their worker, one after the other. Their output and their records of `logging`
    reach this process, each line marked with the worker: records by its own loggers and handlers. Output and
    results travel separate ways, so a future may be done before the last lines of its task are there; when
    `shutdown` has waited, all of it is there. Leave the context, or call `shutdown`, to end the workers; they
    also end with this process, however it ends.
    """

    def __init__(
        self,
        client: IrisClient | None = None,
        config: WorkerPoolConfig | None = None,
        *,
        max_workers: int | tuple[int, int] | None = None,
        **fields: Unpack[PoolOptions],
    ) -> None:
        check_threads()
        if client is not None and not isinstance(client, IrisClient):
            raise TypeError(f"client must be an IrisClient or None, got {client!r}; num_workers is a keyword")
        unknown = [key for key in fields if key not in PoolOptions.__annotations__]
        if unknown:
            known = ", ".join(sorted(PoolOptions.__annotations__))
            raise TypeError(f"WorkerPool() has no option {unknown[0]!r}; there are {known}")
        if max_workers is not None:
            if fields.get("num_workers") is not None:
                raise TypeError("num_workers and max_workers are two names of one thing; give one of them")
            fields["num_workers"] = check_bounds(max_workers, "max_workers")
        if shares_lock(fields.get("initializer")):
            del fields["initializer"], fields["initargs"]
        # The standard library's executors take None for what is not chosen.
        chosen: Any = {key: value for key, value in fields.items() if value is not None}
        self._config = dataclasses.replace(config or WorkerPoolConfig(), **chosen)
        for module in self._config.by_value:
            codec.travel_by_value(module)
        if self._config.initializer is not None:
            codec.dumps((self._config.initializer, self._config.initargs))
        self._name = self._config.name or f"pool-{uuid.uuid4().hex[:8]}"
        engine = Engine(
            self._name,
            self._config,
            traits=LOCAL_TRAITS if client is None else client.launcher.traits,
            open_source=_Opener(client, self._name, self._config).open,
        )
        super().__init__(engine, TaskOptions(), OpenMaps(), LostErrors())
        at_exit(engine, self._maps)
        # A pool that is dropped without shutdown finishes its tasks and ends, as the stdlib's do.
        self._finalizer = weakref.finalize(self, self._maps.end_with, engine.end)
        self._finalizer.atexit = False
        engine.start()
        if EXIT_STARTS_NO_THREADS:
            engine.wait_prepared()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks, finish those that were submitted, and end the workers. Idempotent.

        Args:
            wait: return only when all is done and no worker is left. Ctrl-C while waiting ends the
                workers at once. In a done callback it returns at once: the pool cannot end before that.
            cancel_futures: cancel tasks that have not started.

        Raises:
            BaseException: with `wait`, when all is done: what the input of a `map` raised, unless its
                iterator has raised that. Of several the first; the others are logged.
        """
        self._shut_down(wait=wait, cancel_futures=cancel_futures)
        error = self._lost.take() if wait and self._engine.forked_from is None else None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback holds this frame

    def _shut_down(self, *, wait: bool, cancel_futures: bool = False) -> None:
        if self._engine.forked_from is not None:  # the pool is the parent's
            return
        if not cancel_futures and not self._engine.shut:
            try:
                self._maps.read_on()
            except BaseException:  # Ctrl-C
                self.kill()
                raise
        self._engine.shut = True
        self._finalizer.detach()
        self._engine.end()
        if cancel_futures:
            self._engine.cancel_waiting()
        if wait:
            try:
                self._engine.wait_over()
            except BaseException:
                self.kill()
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        if kind is not None:  # then nobody will read on in a map
            self._engine.shut = True
        # Ctrl-C in the driver does not reach the workers; nobody wants to wait for their tasks then.
        if kind is not None and not issubclass(kind, Exception):
            self.kill()
        if kind is None:
            self.shutdown(wait=True)
        else:
            self._shut_down(wait=True)
            self._lost.log()  # it is not to take the place of what the block raised
        return None

    # --- beyond Executor ------------------------------------------------------------------------------

    def kill(self) -> None:
        """End the workers at once; what is not done fails with BrokenWorkerPool. Idempotent."""
        if self._engine.forked_from is not None:
            return
        self._engine.shut = True
        self._finalizer.detach()
        self._engine.end(kill=True)

    @property
    def name(self) -> str:
        """The pool's name: its workers are registered as ``_workerpool/<name>/worker-<i>``."""
        return self._name

    @property
    def num_workers(self) -> int:
        """How many workers the pool is to have now."""
        return self._engine.target

    def put(self, obj: T) -> Any:
        """Share `obj` with the workers: each gets it once, however many tasks use it.

        Args:
            obj: anything that pickles. It is copied now; what changes in it later is not seen.

        Returns:
            A handle (`Shared`) to be passed to tasks in its place: as an argument, anywhere inside one, or
            as a variable that the function uses. The task gets the object. Large arrays in it are read-only
            there, and other changes are seen by later tasks of the same worker, so make none. When handle
            and tasks are gone, the workers' copies go with the next task. Typed as Any, since it stands for
            the object in calls that are typed.

        Raises:
            SerializationError: (a TypeError) when it cannot be pickled.
            RuntimeError: after shutdown.
        """
        check_open(self._engine)
        return self._engine.functions.put(obj)

    def status(self) -> PoolStatus:
        """What the pool looks like now.

        Raises:
            ForkedProcessError: (a RuntimeError) in a child forked from the process that made the pool.
        """
        check_not_forked(self._engine)
        return self._engine.status()

    def resize(self, num_workers: int | tuple[int, int]) -> None:
        """Aim at another number of workers; returns at once.

        Args:
            num_workers: how many, or a pair of the least and the most.

        New workers are started; those that are too many finish the tasks they have and end.

        Raises:
            ValueError: for numbers that make no sense.
            RuntimeError: after shutdown.
        """
        check_open(self._engine)
        self._engine.resize(check_bounds(num_workers))

    def wait_for_workers(self, count: int | None = None, timeout: float | None = None) -> None:
        """Wait until workers are ready, their initializer included.

        Args:
            count: how many; all that the pool aims at now when None.
            timeout: seconds.

        Raises:
            TimeoutError: they were not ready in time.
            BrokenWorkerPool: they never will be.
            RuntimeError: the pool was shut down.
            ValueError: `count` is more than the pool is to have.
        """
        check_timeout(timeout)
        check_not_forked(self._engine)
        wanted = self._engine.target if count is None else count
        most = max(self._engine.target, self._engine.bounds[0])
        if wanted > most:
            raise ValueError(f"{wanted} workers will never be ready, the pool is to have {most}")
        in_time = self._engine.wait_ready(wanted, timeout)
        if self._engine.ready >= wanted:
            return
        check_open(self._engine)
        if not in_time:
            raise TimeoutError(f"{self._engine.ready} of {wanted} workers were ready after {timeout} s")

    def __reduce__(self) -> Any:
        raise TypeError(
            "a WorkerPool does not pickle: it belongs to the process that made it. Inside a task, make"
            " another one, or pass the task what it needs"
        )

    def __repr__(self) -> str:
        return f"WorkerPool(name={self._name!r}, num_workers={self._engine.target})"


class _Opener:
    """Where a pool gets its workers from, and the client that it has to close for that, if any."""

    def __init__(self, client: IrisClient | None, name: str, config: WorkerPoolConfig) -> None:
        self._client = client
        self._name = name
        self._config = config
        self._owned: IrisClient | None = None

    def open(self, wake: Callable[[], None], status: Callable[[], PoolStatus]) -> WorkerStarter:
        if self._client is not None:
            site = self._client.site
        else:
            context = get_iris_ctx()
            if context is not None:
                site = context.site
            else:
                self._owned = IrisClient.local()
                site = self._owned.site
        return WorkerStarter(
            site, self._config, pool_name=self._name, wake=wake, status=status, disconnect=self._close
        )

    def _close(self) -> None:
        if self._owned is not None:
            self._owned.close()
