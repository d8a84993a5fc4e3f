"""WorkerPool: a `concurrent.futures.Executor` whose workers are actors.

::

    submit, map ─▶ Dispatcher ─▶ WorkerLink ═══ actor calls ═══▶ Worker ─▶ TaskRunner (main thread)
                       ▲  tasks of lost workers                     worker process
    Keeper thread ─────┘  starts, finds, restarts, ends workers by a Launcher

What is promised: every future resolves. A task whose worker dies while it runs is run again, at most
`max_retries` times, and then ends as `WorkerLostError`; tasks that merely waited with that worker go
elsewhere without being charged. What a task raises is its outcome, and never a reason to run it again. When
no worker can be had any more, all futures fail with `BrokenWorkerPool`, which says why.

Shutdown order: no new tasks; the last results; SIGTERM to the workers, which withdraw from the registry;
the launcher; resolver and embedded etcd, where the pool made its own client.
"""

from __future__ import annotations

import dataclasses
import operator
import sys
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from iris_actor import codec
from iris_actor.deadline import Deadline, check_timeout
from iris_actor.errors import ForkedProcessError
from iris_actor.work.client import IrisClient
from iris_actor.work.config import WorkerPoolConfig
from iris_actor.work.context import get_iris_ctx
from iris_actor.work.exit_hook import at_exit
from iris_actor.work.keeper import Keeper
from iris_actor.work.map_iterator import MapIterator
from iris_actor.work.pool_status import PoolStatus, TaskCounts, WorkerCounts, WorkerInfo, WorkerState
from iris_actor.work.resource_spec import ResourceSpec

P = ParamSpec("P")
T = TypeVar("T")

AHEAD = 0.02
"""Seconds of work that `map` submits ahead of the consumer, for each worker; `buffersize` wins over it."""
LEAST_AHEAD = 4
MOST_AHEAD = 1024
"""Bounds for the number of tasks that this comes to."""


class WorkerPool(Executor):
    """Runs functions in worker processes; a `concurrent.futures.Executor`. Thread-safe.

    Args:
        client: where workers announce themselves and what starts them. None takes the job's inside a job,
            else an embedded etcd and local processes that end with the pool.
        config: how to treat workers and tasks; the keywords below stand for its fields and win over it.
        num_workers: worker processes; by default as many as this process may use cores.
        max_workers: the same, by its name in the standard library.
        resources: what each worker needs.
        max_retries: how often a task is run again whose worker died while it ran.
        name: part of the workers' names in the registry.
        initializer: called with `initargs` in each worker before its first task.
        initargs: see there.

    Raises:
        ValueError, TypeError: for a bad configuration, or an initializer that cannot be pickled.

    The constructor returns before the workers run; `wait_for_workers` waits for them. Functions of
    ``__main__``, lambdas and closures may be submitted; see `functions` for when they are captured. Tasks
    run in the main thread of their worker, one after the other. Their ``print`` reaches this process,
    each line marked with the worker. Leave the context, or call `shutdown`, to end the workers; they also
    end with this process, however it ends.
    """

    def __init__(
        self,
        client: IrisClient | None = None,
        config: WorkerPoolConfig | None = None,
        *,
        num_workers: int | None = None,
        max_workers: int | None = None,
        resources: ResourceSpec | None = None,
        max_retries: int | None = None,
        name: str | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        if client is not None and not isinstance(client, IrisClient):
            raise TypeError(f"client must be an IrisClient or None, got {client!r}; num_workers is a keyword")
        if num_workers is not None and max_workers is not None:
            raise TypeError("num_workers and max_workers are two names of one thing; give one of them")
        given = {
            "num_workers": num_workers if num_workers is not None else max_workers,
            "resources": resources,
            "max_retries": max_retries,
            "name": name,
            "initializer": initializer,
            "initargs": initargs or None,
        }
        fields: Any = {key: value for key, value in given.items() if value is not None}
        self._config = dataclasses.replace(config or WorkerPoolConfig(), **fields)
        if self._config.initializer is not None:
            codec.dumps((self._config.initializer, self._config.initargs))
        self._name = self._config.name or f"pool-{uuid.uuid4().hex[:8]}"
        source = _ClientSource(client)
        # Without a recorder nobody knows which of several tasks killed a worker; and a task that must not
        # start twice must not be taken for one that did.
        prefetch = self._config.max_retries > 0 and (client is None or client.launcher.has_recorder)
        self._keeper = Keeper(
            self._name, self._config, prefetch=prefetch, connect=source.open, disconnect=source.close
        )
        self._dispatcher = self._keeper.dispatcher
        self._shut = False
        at_exit(self._keeper)
        # A pool that is dropped without shutdown finishes its tasks and ends, as the stdlib's do.
        self._finalizer = weakref.finalize(self, self._keeper.end)
        self._finalizer.atexit = False
        self._keeper.start()

    # --- Executor -------------------------------------------------------------------------------------

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` in a worker.

        Returns:
            Its future: the value, the exception that it raised (with its remote traceback as
            ``__cause__``), SerializationError when something does not pickle, or WorkerLostError.

        Raises:
            RuntimeError: after shutdown.
            BrokenWorkerPool: (a RuntimeError) the pool can run nothing any more.
            ForkedProcessError: (a RuntimeError) in a child forked from the process that made the pool.
            TypeError: `fn` cannot be called.
        """
        self._check_open()
        if not callable(fn):
            raise TypeError(f"submit() needs a callable, got {fn!r}")
        return self._dispatcher.submit(fn, args, kwargs)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: bool = False,
    ) -> Iterator[T]:
        """The results of ``fn`` for the items of `iterables`, in order.

        The input is read as results are taken: at most `buffersize` items are ahead of the consumer, so
        it may be endless.

        Args:
            fn: the function.
            iterables: its arguments, as many iterables as it has parameters; the shortest ends the map.
            timeout: seconds from now after which waiting for a result raises TimeoutError.
            chunksize: how many items travel as one task.
            buffersize: how many items may be ahead of the consumer; by default as many as keep the workers
                busy, which is four chunks for each worker, and more where they are short.
            progress: show a tqdm bar on stderr.

        Raises:
            RuntimeError: after shutdown.
            ValueError: for a bad number.

        The iterator raises what `fn` raised when it comes to that item, and cancels the rest then.
        """
        self._check_open()
        if not callable(fn):
            raise TypeError(f"map() needs a callable, got {fn!r}")
        for label, number in (("chunksize", chunksize), ("buffersize", buffersize)):
            if number is not None and operator.index(number) < 1:
                raise ValueError(f"{label} must be 1 or more, got {number!r}")
        deadline = Deadline.of(check_timeout(timeout))

        def ahead() -> int:
            if buffersize is not None:
                return -(-buffersize // chunksize)
            expected = self._dispatcher.expected(fn) * chunksize
            each = min(MOST_AHEAD, max(LEAST_AHEAD, int(AHEAD / (expected + 1e-9))))
            return each * self._keeper.target

        def submit(item: Any) -> Future[Any]:
            self._check_open()
            if chunksize == 1:
                return self._dispatcher.submit(fn, item, {})
            return self._dispatcher.submit(fn, item, {}, spread=True, weight=len(item))

        return MapIterator(
            submit,
            zip(*iterables, strict=False),
            chunksize=chunksize,
            ahead=ahead,
            deadline=deadline,
            bar=_bar(iterables) if progress else None,
        )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks, finish those that were submitted, and end the workers. Idempotent.

        Args:
            wait: return only when all is done and no worker is left. Ctrl-C while waiting ends the
                workers at once.
            cancel_futures: cancel tasks that have not started.
        """
        if self._keeper.forked_from is not None:  # the pool is the parent's
            return
        self._shut = True
        self._finalizer.detach()
        self._keeper.end()
        if cancel_futures:
            self._dispatcher.queue.cancel_waiting()
            self._keeper.wake()
        if wait:
            try:
                self._keeper.wait_over()
            except BaseException:
                self.kill()
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        # Ctrl-C in the driver does not reach the workers; nobody wants to wait for their tasks then.
        if kind is not None and not issubclass(kind, Exception):
            self.kill()
        self.shutdown(wait=True)
        return None

    # --- beyond Executor ------------------------------------------------------------------------------

    def kill(self) -> None:
        """End the workers at once; what is not done fails with BrokenWorkerPool. Idempotent."""
        if self._keeper.forked_from is not None:
            return
        self._shut = True
        self._finalizer.detach()
        self._keeper.end(kill=True)

    @property
    def name(self) -> str:
        """The pool's name: its workers are registered as ``_workerpool/<name>/worker-<i>``."""
        return self._name

    @property
    def num_workers(self) -> int:
        """How many workers the pool is to have."""
        return self._keeper.target

    def status(self) -> PoolStatus:
        """What the pool looks like now."""
        with self._dispatcher.lock:
            queue = self._dispatcher.queue
            queue.drop_cancelled()
            infos = tuple(slot.info() for slot in sorted(self._dispatcher.slots, key=lambda s: s.index))
            tasks = TaskCounts(
                queued=len(queue.waiting),
                running=sum(info.tasks for info in infos),
                done=queue.done,
                failed=queue.failed,
            )
            broken = queue.broken
        return PoolStatus(
            name=self._name,
            workers=WorkerCounts(
                idle=_count(infos, WorkerState.IDLE),
                busy=_count(infos, WorkerState.BUSY),
                pending=_count(infos, WorkerState.PENDING),
                failed=_count(infos, WorkerState.FAILED),
            ),
            tasks=tasks,
            worker_infos=infos,
            broken=broken[0] if broken else None,
        )

    def resize(self, num_workers: int) -> None:
        """Aim at another number of workers; returns at once.

        New workers are started; those that are too many finish the tasks they have and end.

        Raises:
            ValueError: for a number below 1.
            RuntimeError: after shutdown.
        """
        self._check_open()
        dataclasses.replace(self._config, num_workers=num_workers)
        self._keeper.resize(num_workers)

    def wait_for_workers(self, count: int | None = None, timeout: float | None = None) -> None:
        """Wait until workers are ready, their initializer included.

        Args:
            count: how many; all of them when None.
            timeout: seconds.

        Raises:
            TimeoutError: they were not ready in time.
            BrokenWorkerPool: they never will be.
            RuntimeError: the pool was shut down.
            ValueError: `count` is more than the pool is to have.
        """
        check_timeout(timeout)
        wanted = self._keeper.target if count is None else count
        if wanted > self._keeper.target:
            most = self._keeper.target
            raise ValueError(f"{wanted} workers will never be ready, the pool is to have {most}")
        in_time = self._keeper.wait_ready(wanted, timeout)
        if self._keeper.ready >= wanted:
            return
        self._check_open()
        if not in_time:
            raise TimeoutError(f"{self._keeper.ready} of {wanted} workers were ready after {timeout} s")

    def _check_open(self) -> None:
        if self._keeper.forked_from is not None:
            raise ForkedProcessError(self._keeper.forked_from)
        queue = self._dispatcher.queue
        if queue.broken is not None and not self._shut:
            raise queue.broken_error()
        if self._shut:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def __reduce__(self) -> Any:
        raise TypeError(
            "a WorkerPool does not pickle: it belongs to the process that made it. Inside a task, make"
            " another one, or pass the task what it needs"
        )

    def __repr__(self) -> str:
        return f"WorkerPool(name={self._name!r}, num_workers={self._keeper.target})"


class _ClientSource:
    """Where a pool gets its client from, and whether it has to close it."""

    def __init__(self, client: IrisClient | None) -> None:
        self._client = client
        self._owned = False

    def open(self) -> IrisClient:
        if self._client is None:
            context = get_iris_ctx()
            self._owned = context is None
            self._client = IrisClient.local() if context is None else context.client
        return self._client

    def close(self) -> None:
        if self._owned and self._client is not None:
            self._client.close()


def _count(infos: Iterable[WorkerInfo], state: WorkerState) -> int:
    return sum(info.state is state for info in infos)


def _bar(iterables: tuple[Iterable[Any], ...]) -> Any:
    from tqdm import tqdm

    sizes = [operator.length_hint(iterable, -1) for iterable in iterables]
    total = min(sizes) if sizes and min(sizes) >= 0 else None
    return tqdm(total=total, file=sys.stderr)
