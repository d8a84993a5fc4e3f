"""The joblib backend ``"iris"``: joblib, and what is built on it such as scikit-learn, on a `WorkerPool`.

::

    import iris_actor.integrations.joblib  # registers the backend

    with joblib.parallel_config(backend="iris", pool=pool):
        GridSearchCV(model, grid).fit(X, y)

    Parallel ── a batch of calls ──▶ submit ──▶ WorkerPool ──▶ worker
       ▲                                            │
       └── results, the next batch ◀── done callback┘

With ``pool=`` the calls go to that pool, which stays open. Without it the backend starts ``n_jobs`` local
workers, and keeps them for the next `Parallel` that wants as many, until they were idle for a while or the
program ends.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any

from joblib import cpu_count, register_parallel_backend
from joblib.parallel import AutoBatchingMixin, FallbackToBackend, ParallelBackendBase

from iris_actor.integrations.joblib_options import JoblibOptions
from iris_actor.integrations.large_arrays import LargeArrays
from iris_actor.integrations.reusable_pool import ReusablePool
from iris_actor.program_exit import is_program_exit
from iris_actor.work.pool.executor.worker_pool import WorkerPool

_reusable = ReusablePool()


class IrisBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc] # joblib has no types
    """Runs the calls of `joblib.Parallel` in the workers of a `WorkerPool`. For one thread, as joblib's own.

    What a call raises arrives with its remote traceback. When one raises, or ``timeout=`` passes, calls that
    have not started are cancelled; those that run are ended with their workers if the workers are the
    backend's own, and else merely told (`call_context`). A worker that dies is replaced and what it ran is
    run again, as the pool is configured. A `Parallel` inside a call uses threads, and one inside that runs
    its calls one by one, so that no pool starts pools. Arrays of at least ``max_nbytes`` are read-only in
    calls, and travel to each worker once.

    Args:
        pool: the pool to use; all of its workers may take part, whatever ``n_jobs`` above 1 is. None starts
            workers.
        nesting_level: joblib's own.
        inner_max_num_threads: threads that BLAS, OpenMP and the like may use in workers that the backend
            starts; by default the machine's cores divided by the workers. The environment of a `pool` is its
            own affair.
        options: `initializer` and `initargs`, `idle_worker_timeout`. `Parallel` takes them too, and wins.

    Raises:
        TypeError: `pool` is something else.
        ValueError: naming an option that cannot be honoured, and what to do.
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    default_n_jobs = -1
    # AutoBatchingMixin, because the pool batches only what it was given, and joblib hands over no more than
    # two tasks a worker: without batches of joblib's own a tiny call costs 500 us instead of 6.

    def __init__(
        self,
        pool: WorkerPool | None = None,
        *,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        **options: Any,
    ) -> None:
        if pool is not None and not isinstance(pool, WorkerPool):
            raise TypeError(f"pool must be a WorkerPool or None, got {pool!r}")
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self.parallel: Any = None
        self._options = options
        JoblibOptions.of(options, own_workers=pool is None)
        self._given = pool
        self._pool: WorkerPool | None = None
        self._arrays: LargeArrays | None = None
        self._futures: set[Any] = set()

    # --- what joblib asks -----------------------------------------------------------------------------

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many calls run at once: at most a given pool's workers, and 1 inside another `Parallel`."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if self.nesting_level:
            return 1
        if n_jobs is None:
            n_jobs = self.default_n_jobs
        most = cpu_count() if self._given is None else self._given.status().bounds[1]
        if n_jobs < 0:
            return int(max(most + 1 + n_jobs, 1))
        return n_jobs if self._given is None else min(n_jobs, most)

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        **options: Any,
    ) -> int:
        """Get the workers for the calls of `parallel`; returns how many.

        Raises:
            ValueError: naming an option that cannot be honoured, and what to do.
        """
        if self._pool is not None:
            # A generator of the same `parallel_config` is still in use, and has calls of its own to cancel.
            raise FallbackToBackend(
                IrisBackend(
                    self._given,
                    nesting_level=self.nesting_level,
                    inner_max_num_threads=self.inner_max_num_threads,
                    **self._options,
                )
            )
        chosen = JoblibOptions.of({**self._options, **options}, own_workers=self._given is None)
        if self._given is not None and self.inner_max_num_threads is not None:
            raise ValueError(
                "inner_max_num_threads is for workers that the backend starts; give the pool that is"
                " passed as pool= an env instead, such as env={'OMP_NUM_THREADS': '1'}"
            )
        n_jobs = self.effective_n_jobs(n_jobs)
        self.parallel = parallel
        if n_jobs > 1:
            self._pool = self._given or _reusable.take(
                n_jobs,
                env=self._prepare_worker_env(n_jobs),
                initializer=chosen.initializer,
                initargs=chosen.initargs,
                idle_timeout=chosen.idle_timeout,
            )
            if chosen.max_nbytes is not None:
                self._arrays = LargeArrays(self._pool, chosen.max_nbytes)
        return n_jobs

    def submit(self, func: Any, callback: Callable[[Any], None] | None = None) -> Future[Any]:
        """Run a batch of calls in a worker; never raises, since nobody would hear it in a done callback."""
        future = self._submit(func)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def _submit(self, batch: Any) -> Future[Any]:
        pool, arrays = self._pool, self._arrays
        if pool is None:  # aborted while a callback was about to submit more
            return _failed(CancelledError())
        try:
            if arrays is not None:
                batch.items = [arrays.replace(*call) for call in batch.items]
            future = pool.submit(_run, batch)
        except BaseException as error:
            if is_program_exit(error):
                raise
            return _failed(error)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    apply_async = submit
    """Its name before joblib 1.5."""

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """The result of a batch that is over, or what it raised."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: ARG002 - joblib's
        """Cancel what has not started, and end what runs where the workers are our own."""
        for future in list(self._futures):
            if self._given is None:
                future.cancel(kill=True)
            else:
                future.cancel()

    def terminate(self) -> None:
        """Let go of the workers. Idempotent."""
        pool, self._pool, self._arrays = self._pool, None, None
        self.reset_batch_stats()
        if pool is not None and self._given is None:
            _reusable.give_back(pool)


def shutdown_workers() -> None:
    """End the workers that are kept for the next `Parallel`, and wait until they are gone. Idempotent."""
    _reusable.shutdown()


def _failed(error: BaseException) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def _run(batch: Callable[[], Any]) -> Any:
    # A function of this module, so that the worker imports it and knows the backend's name too.
    return batch()


register_parallel_backend("iris", IrisBackend)
