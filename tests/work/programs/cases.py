"""What the programs beside this file share: cases, each a task with its argument, and how its result looks.

A program is run with ``stdlib`` or ``pool``, and prints a line of JSON for each of its cases. Results are
looked at in the program, where classes have to be its own again.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import Any

from iris_actor import WorkerPool

CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], Callable[[Any], Any]]] = {}


def case(*args: Any, look: Callable[[Any], Any] = repr) -> Callable[[Any], Any]:
    """The function is a task, that gets `args`."""

    def add(function: Any) -> Any:
        CASES[function.__name__] = (function, args, look)
        return function

    return add


def outcome(executor: Executor, function: Any, args: tuple[Any, ...], look: Callable[[Any], Any]) -> Any:
    """What is shown of a task: how its result looks, or its error."""
    try:
        return ["value", repr(look(executor.submit(function, *args).result(60)))]
    except Exception as error:
        return ["error", f"{type(error).__name__}: {error}"]


def main() -> None:
    """Print the name of each case, and its outcome."""
    executor: Executor
    if sys.argv[1] == "stdlib":
        executor = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    else:
        executor = WorkerPool(num_workers=1)
    with executor:
        for name, (function, args, look) in CASES.items():
            print(json.dumps([name, outcome(executor, function, args, look)]), flush=True)
