"""ReusablePool: the pool that is kept between calls which bring none of their own.

Starting workers takes longer than many a call, so they are kept: each goes when it was idle for
`IDLE_TIMEOUT`, and all of them when workers of another kind are asked for, or with the program.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from iris_actor import codec
from iris_actor.work.pool.executor.worker_pool import WorkerPool

IDLE_TIMEOUT = 300.0
"""Seconds, as joblib has it for its own workers."""


class ReusablePool:
    """Hands out a pool of local workers. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the fields below
        self._kept: WorkerPool | None = None
        self._kind: object = None
        self._users: Counter[WorkerPool] = Counter()

    def take(
        self,
        num_workers: int,
        *,
        env: Mapping[str, str],
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        idle_timeout: float = IDLE_TIMEOUT,
    ) -> WorkerPool:
        """A pool of `num_workers` workers with these options; the kept one if it is of that kind.

        Give it back when the call is over. Until then it is there, whatever others ask for.

        Raises:
            ValueError: for a bad option; see `WorkerPoolConfig`.
            TypeError: the initializer cannot be called, or not be pickled.
        """
        # A forked child cannot use the pool of its parent.
        kind = (os.getpid(), num_workers, dict(env), _pickled(initializer, initargs), idle_timeout)
        old = None
        with self._lock:
            if self._kept is None or self._kind != kind or self._kept.status().broken is not None:
                old = self._kept
                self._kept = WorkerPool(
                    num_workers=num_workers,
                    env=env,
                    initializer=initializer,
                    initargs=initargs,
                    idle_timeout=idle_timeout,
                )
                self._kind = kind
            elif not self._users[self._kept]:
                self._kept.resize(num_workers)
            pool = self._kept
            self._users[pool] += 1
            unused = old is not None and not self._users[old]
        if old is not None and unused:
            old.shutdown(wait=False)
        return pool

    def give_back(self, pool: WorkerPool) -> None:
        """The call for which `pool` was taken is over."""
        with self._lock:
            self._users[pool] -= 1
            if self._users[pool]:
                return
            del self._users[pool]
            kept = pool is self._kept
            if kept:
                # While nobody uses it, its workers may go. It may be broken, or have ended with the program.
                with suppress(RuntimeError):
                    pool.resize((0, pool.num_workers))
        if not kept:
            pool.shutdown(wait=False)

    def shutdown(self) -> None:
        """End the workers that are kept, after what they still do, and wait for that. Idempotent."""
        with self._lock:
            pool, self._kept = self._kept, None
        if pool is not None:
            pool.shutdown()


def _pickled(initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> object:
    """What tells initializers apart: their arguments may be such that cannot be compared, as arrays."""
    if initializer is None:
        return None
    body = codec.dumps((initializer, initargs))
    return bytes(body.data), tuple(map(bytes, body.buffers))
