"""`process_map` of `tqdm.contrib.concurrent` on a `WorkerPool`: change the import, and keep the call.

::

    from iris_actor.integrations.tqdm import process_map

    results = process_map(fn, items, pool=pool, desc="items")
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any, TypeVar

from tqdm.auto import tqdm

from iris_actor.work.pool.executor.task_executor import TaskExecutor
from iris_actor.work.pool.executor.worker_pool import WorkerPool

T = TypeVar("T")


def process_map(
    fn: Callable[..., T],
    *iterables: Iterable[Any],
    pool: TaskExecutor | None = None,
    max_workers: int | None = None,
    chunksize: int = 1,
    timeout: float | None = None,
    tqdm_class: Any = tqdm,
    **bar: Any,
) -> list[T]:
    """``list(map(fn, *iterables))`` in workers, under a progress bar.

    Args:
        fn: the function.
        iterables: its arguments, as many iterables as it has parameters; the shortest ends the map.
        pool: where to run it: a `WorkerPool`, or what its `options` returned. None starts workers for this
            call.
        max_workers: how many to start then.
        chunksize: how many items travel as one task. There is no need to choose it for the sake of speed.
        timeout: seconds from now after which waiting for a result raises TimeoutError.
        tqdm_class: the class of the bar.
        bar: keywords of that class, such as `desc`; `total` where the iterables cannot tell. tqdm's own
            `lock_name` is taken and has no effect: workers draw nothing, so they share no lock.

    Raises:
        TypeError: for a `pool` that is none.
        ValueError: for `max_workers` beside a `pool`, or a bad number.
        Exception: what `fn` raised; what has not started is cancelled then.
    """
    if pool is not None and not isinstance(pool, TaskExecutor):
        raise TypeError(f"pool must be a WorkerPool or None, got {pool!r}")
    if pool is not None and max_workers is not None:
        raise ValueError(
            f"max_workers is for workers that are started here, got {max_workers!r} beside a pool"
        )
    bar.pop("lock_name", None)
    sizes = [operator.length_hint(iterable, -1) for iterable in iterables]
    known = [size for size in sizes if size >= 0]
    bar.setdefault("total", min(known) if known else None)
    context: Any = WorkerPool(max_workers=max_workers) if pool is None else nullcontext(pool)
    with context as executor:
        results = executor.map(fn, *iterables, chunksize=chunksize, timeout=timeout)
        return list(tqdm_class(results, **bar))
