"""LargeArrays: arrays in the arguments of many calls, each of which is to travel to a worker once.

The first time that an array is met, it travels with its call, since most that are large are pieces which
are used once. From the second time on it is shared by `WorkerPool.put`. Calls get it read-only both times:
what one of them wrote into it, others would see.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from iris_actor.work.pool.executor.worker_pool import WorkerPool


class LargeArrays:
    """Knows the arrays that were met. Not thread-safe.

    Args:
        pool: where the calls run.
        least: size in bytes from which an array is large.
    """

    def __init__(self, pool: WorkerPool, least: int) -> None:
        self._pool = pool
        self._least = least
        self._met: dict[int, _Met] = {}

    def replace(
        self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """The call, with something that arrives as the same array for each large one among its arguments."""
        return fn, tuple(map(self._stand_in, args)), {key: self._stand_in(kwargs[key]) for key in kwargs}

    def _stand_in(self, value: Any) -> Any:
        numpy = sys.modules.get("numpy")
        if numpy is None or type(value) not in {numpy.ndarray, numpy.memmap}:
            return value
        if value.nbytes < self._least or value.dtype.hasobject:
            return value
        met = self._met.get(id(value))
        if met is None:
            self._met[id(value)] = _Met(value, self._met)
            return _ReadOnly(value)
        if met.handle is None:
            met.handle = self._pool.put(_ReadOnly(value))
        return met.handle


class _Met:
    """An array that was met; forgotten when it is gone, because its id may be another's then."""

    def __init__(self, array: Any, table: dict[int, _Met]) -> None:
        number = id(array)
        self._array = weakref.ref(array, lambda _: table.pop(number, None))
        self.handle: Any = None


class _ReadOnly:
    """Arrives as the array that it was made for, read-only."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __reduce__(self) -> Any:
        return _read_only, (sys.modules["numpy"].asarray(self._array),)


def _read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array
