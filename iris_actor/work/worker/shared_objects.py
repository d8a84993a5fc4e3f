"""Shared objects, where they arrive: a number in a task's pickle becomes the object that was sent before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_fetch: Callable[[int], Any] | None = None


def rebuild_with(fetch: Callable[[int], Any]) -> None:
    """Have handles that arrive in this process, a worker, become what `fetch` gives for their number."""
    global _fetch  # noqa: PLW0603 - one a worker
    _fetch = fetch


def fetch_shared(number: int) -> Any:
    """The object with that number; what handles pickle as.

    Raises:
        TypeError: this process is no worker of their pool.
    """
    if _fetch is None:
        raise TypeError("a handle of WorkerPool.put() can be rebuilt in a worker of its pool only")
    return _fetch(number)
