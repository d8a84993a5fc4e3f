"""Ended: the end of a stream, to be awaited."""

from __future__ import annotations

import asyncio
from functools import partial

from iris_actor.rpc.transport.stream import Stream


def ended_of(stream: Stream) -> asyncio.Future[None]:
    """A future that ends as `stream` does, by taking its `on_end`. In the I/O thread."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    stream.on_end = partial(end, ended)
    return ended


def end(ended: asyncio.Future[None], error: Exception | None = None) -> None:
    """Have `ended` end, with `error` if there is one. Idempotent."""
    if ended.done():  # in another way, or whoever waited was cancelled
        return
    if error is None:
        ended.set_result(None)
    else:
        ended.set_exception(error)
