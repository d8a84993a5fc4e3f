"""What to do about results that stand for a value and are none."""

from __future__ import annotations

import inspect
from concurrent.futures import Future
from types import CoroutineType
from typing import Any

from iris_actor.errors import SerializationError


def why_unsendable(method: str, result: Any, error: SerializationError) -> str:
    """Why `result`, which `method` returned, cannot be sent, and where that is known, what to do.

    Args:
        method: name of the method.
        result: what it returned. A coroutine is closed: nobody will await it, and Python need not warn.
        error: what came of the attempt to send it.
    """
    kind = type(result).__name__
    if inspect.isawaitable(result):
        discard(result)
        return (
            f"{method} returned a {kind}, which nobody awaits: declare {method} `async def` (and what"
            " decorates it), and return what `await` gives"
        )
    if isinstance(result, Future):
        return f"{method} returned a {kind}, which stays here: return its result()"
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        return f"{method} returned a {kind}: call it as pool.stream().{method}(...)"
    return str(error)


def discard(result: Any) -> None:
    """Close `result` if it is a coroutine that nobody will await, so that Python does not warn of it."""
    if isinstance(result, CoroutineType):
        result.close()
