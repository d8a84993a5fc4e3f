"""SideThread: where coroutines of the I/O thread have done what would block it, such as looking up a name."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def in_side_thread(function: Callable[[], T]) -> T:
    """What ``function()`` returns or raises, called in a thread of its own.

    The loop's executor would keep its threads for good, and have the end of the program wait for them.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: BaseException | None) -> None:
        if outcome.done():  # whoever waited is gone
            return
        if error is None:
            outcome.set_result(result)  # type: ignore[arg-type]
        else:
            outcome.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as caught:
            error = caught
        with suppress(RuntimeError):  # the loop is closed: the program ends
            loop.call_soon_threadsafe(finish, result, error)

    threading.Thread(target=run, name="iris-side", daemon=True).start()
    return await outcome
