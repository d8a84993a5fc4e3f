"""TaskExecutor: submits to a pool with options of its own; a `concurrent.futures.Executor`."""

from __future__ import annotations

import dataclasses
import operator
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Executor
from typing import Any, ParamSpec, SupportsIndex, TypeVar

from iris_actor.deadline import Deadline, check_timeout
from iris_actor.errors import ForkedProcessError
from iris_actor.work.pool.engine import AFTER_SHUTDOWN, Engine
from iris_actor.work.pool.executor.exit_hook import exiting
from iris_actor.work.pool.executor.lost_errors import LostErrors
from iris_actor.work.pool.executor.map_feed import MapFeed
from iris_actor.work.pool.executor.map_iterator import MapIterator
from iris_actor.work.pool.executor.open_maps import OpenMaps
from iris_actor.work.pool.payload.task_future import TaskFuture
from iris_actor.work.pool.payload.task_options import TaskOptions

P = ParamSpec("P")
T = TypeVar("T")

AHEAD = 0.02
"""Seconds of work that `map` submits ahead of the consumer, for each worker; `buffersize` wins over it."""
LEAST_AHEAD = 4
MOST_AHEAD = 1024
"""Bounds for the number of tasks that this comes to."""


class TaskExecutor(Executor):
    """Runs functions in the workers of a pool. Thread-safe; made by `WorkerPool.options`.

    It has the pool's workers and its queue; a pool is itself one, with the options of its configuration.
    """

    def __init__(
        self,
        engine: Engine,
        options: TaskOptions,
        maps: OpenMaps,
        lost: LostErrors,
        pool: TaskExecutor | None = None,
    ) -> None:
        self._engine = engine
        self._options = options
        self._maps = maps
        self._lost = lost
        self._pool = pool  # kept alive: a pool that is dropped ends

    def options(self, *, timeout: float | None = None, max_retries: int | None = None) -> TaskExecutor:
        """The same pool with other options for the tasks that are submitted through what this returns.

        Args:
            timeout: seconds that a task may run, from when its function is called. Then its future ends
                as DeadlineExceededError, its `call_context()` says that it is cancelled, and if it is still
                there after the pool's `cancel_grace`, its worker is ended and replaced. Calls of actors
                that the task makes inherit what is left.
            max_retries: how often a task is run again whose worker died while it ran. 0 promises that it
                never starts twice.

        What is None stays as it is here.

        Raises:
            ValueError: naming the value and its rule.
        """
        given = {"timeout": timeout, "max_retries": max_retries}
        changes: Any = {key: value for key, value in given.items() if value is not None}
        changed = dataclasses.replace(self._options, **changes)
        return TaskExecutor(self._engine, changed, self._maps, self._lost, self)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[T]:
        """Run ``fn(*args, **kwargs)`` in a worker.

        Returns:
            Its future: the value, the exception that it raised (with its remote traceback as
            ``__cause__``), SerializationError when something does not pickle, DeadlineExceededError when it
            ran longer than its timeout, or WorkerLostError when its worker died too often.

        Raises:
            RuntimeError: after shutdown.
            BrokenWorkerPool: (a RuntimeError) the pool can run nothing any more.
            ForkedProcessError: (a RuntimeError) in a child forked from the process that made the pool.
            TypeError: `fn` cannot be called.
        """
        check_open(self._engine)
        if not callable(fn):
            raise TypeError(f"submit() needs a callable, got {fn!r}")
        return self._engine.submit(fn, args, kwargs, self._options)

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
            timeout: seconds from now after which waiting for a result raises TimeoutError. How long a task
                may run is set by `options`.
            chunksize: how many items travel as one task. Such a task has that many times the timeout of
                one.
            buffersize: how many items may be ahead of the consumer; by default as many as keep the workers
                busy, which is four chunks for each worker, and more where they are short.
            progress: show a tqdm bar on stderr.

        Raises:
            RuntimeError: after shutdown.
            ValueError: for a bad number.

        The iterator raises what `fn` raised when it comes to that item, and cancels the rest then. Closing
        it cancels what has not started, and so does dropping it, once a result was asked for. Before that a
        map without `buffersize` counts as submitted as a whole, as it does in the standard library: when the
        iterator is dropped or the pool shut down, all of it is run.

        What an iterable raises, the iterator raises after the results of what came before it. If nobody has
        asked for that, the pool raises it when its context is left, or by `shutdown`.

        The iterator keeps the pool alive until the iterables are read to their end, unless one of them has a
        length: then a pool that is dropped reads on by itself, finishes, and ends.
        """
        check_open(self._engine)
        if not callable(fn):
            raise TypeError(f"map() needs a callable, got {fn!r}")
        for label, number in (("chunksize", chunksize), ("buffersize", buffersize)):
            if number is not None:
                _check_count(label, number)
        deadline = Deadline.of(check_timeout(timeout))
        # Not self: an iterator that is held is no reason for the pool to live.
        engine, options, executor = self._engine, self._options, weakref.ref(self)

        def ahead() -> int:
            if buffersize is not None:
                return -(-buffersize // chunksize)
            expected = engine.functions.expected(fn) * chunksize
            each = min(MOST_AHEAD, max(LEAST_AHEAD, int(AHEAD / (expected + 1e-9))))
            return each * engine.bounds[1]

        def submit(item: Any) -> TaskFuture[Any]:
            mine = executor()
            if chunksize == 1 and mine is not None:
                # By way of `submit`, as in the standard library: some replace it, to see the tasks.
                return mine.submit(fn, *item)
            check_open(engine)
            if chunksize == 1:
                return engine.submit(fn, item, {}, options)
            return engine.submit(fn, item, {}, options, spread=True, weight=len(item))

        feed = MapFeed(
            submit,
            zip(*iterables, strict=False),
            chunksize=chunksize,
            ahead=ahead,
            lost=self._lost,
            whole=buffersize is None,
            holds=None if any(isinstance(iterable, Sized) for iterable in iterables) else self,
            on_end=self._maps.discard,
        )
        return MapIterator(
            feed,
            chunksize=chunksize,
            deadline=deadline,
            maps=self._maps,
            pool=weakref.ref(self._pool or self),
            bar=_bar(iterables) if progress else None,
        )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Shut the pool down; see `WorkerPool.shutdown`."""
        if self._pool is not None:
            self._pool.shutdown(wait, cancel_futures=cancel_futures)

    @property
    def _max_workers(self) -> int:
        """What some libraries (dask) ask an executor for, by the name that it has in the standard library."""
        return self._engine.bounds[1]


def check_not_forked(engine: Engine) -> None:
    """Raise ForkedProcessError in a child forked from the process that made the pool."""
    if engine.forked_from is not None:
        raise ForkedProcessError(engine.forked_from)


def check_open(engine: Engine) -> None:
    """Raise the RuntimeError that says why the pool takes no more tasks, if it does not."""
    check_not_forked(engine)
    if not engine.shut:
        engine.check_not_broken()
    if engine.shut:
        raise RuntimeError(AFTER_SHUTDOWN)
    if exiting():
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")


def _check_count(label: str, number: SupportsIndex) -> None:
    try:
        enough = operator.index(number) >= 1
    except TypeError:
        raise TypeError(f"{label} must be a whole number, 1 or more, got {number!r}") from None
    if not enough:
        raise ValueError(f"{label} must be 1 or more, got {number!r}")


def _bar(iterables: tuple[Iterable[Any], ...]) -> Any:
    from tqdm import tqdm

    sizes = [operator.length_hint(iterable, -1) for iterable in iterables]
    total = min(sizes) if sizes and min(sizes) >= 0 else None
    return tqdm(total=total, file=sys.stderr)
