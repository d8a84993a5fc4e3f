"""Results of tasks that are not done yet, such as coroutines: they cannot travel, and say what to do."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from concurrent.futures import Future
from types import CoroutineType
from typing import Any


def why_unfinished(name: str, value: Any, *, chunk: bool) -> str | None:
    """What to do about a result that only promises a value; None when `value` is no such thing.

    Args:
        name: of the function that was called.
        value: what it returned. Coroutines are closed: nobody will await them, and Python need not warn.
        chunk: whether `value` is the list of results of several calls.
    """
    results = value if chunk else [value]
    for result in results:
        if isinstance(result, CoroutineType):
            result.close()
    kinds = (type(each).__name__ for each in results if _advice(each))
    kind = next(kinds, None)
    if kind is None:
        return None
    advice = next(filter(None, map(_advice, results)))
    return f"task {name} returned a {kind}, which stays in its worker: {advice.format(name=name)}"


def _advice(result: Any) -> str:
    if isinstance(result, CoroutineType) or inspect.isawaitable(result):
        return (
            "submit a plain function that runs it to its end, such as"
            " `def run(*args): return asyncio.run({name}(*args))`"
        )
    if inspect.isasyncgen(result):
        return "submit a plain function that takes what it yields, by asyncio.run, and returns a list"
    if isinstance(result, Generator):
        return "return a list of what it yields, or submit a plain function that does"
    if isinstance(result, Future):
        return "return its result()"
    return ""
