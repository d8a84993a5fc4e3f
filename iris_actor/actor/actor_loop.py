"""ActorLoop: the event loop that runs the async methods of one actor."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from iris_actor.forked_child import isolate_in_child
from iris_actor.rpc.loop_queue import queue_into
from iris_actor.unpatched import new_event_loop


class ActorLoop:
    """An event loop in a thread of its own, or one that the program already runs. Thread-safe.

    Each actor has its own thread, so that a method that blocks its loop holds up no other actor. In an
    asyncio program (``async with ActorServer(...)``) methods run on the program's loop instead, where
    its locks and connections belong.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop | None) -> None:
        self._name = name
        self._loop = loop
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def call_soon(self, fn: Callable[[], None]) -> None:
        """Run `fn` in the loop."""
        queue_into(self._running()).call_soon(fn)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            with self._lock:
                if self._loop is None:
                    loop = new_event_loop()
                    isolate_in_child(loop)
                    self._thread = threading.Thread(
                        target=self._run, args=(loop,), name=f"iris-actor-{self._name}-loop", daemon=True
                    )
                    self._thread.start()
                    self._loop = loop
        return self._loop

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            leftover = asyncio.all_tasks(loop)
            for task in leftover:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*leftover, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def close(self, timeout: float = 1.0) -> None:
        """Cancel what runs and end the thread, waiting for it up to `timeout` seconds. Idempotent."""
        thread, loop = self._thread, self._loop
        if thread is None or loop is None or not thread.is_alive():
            return
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(timeout)
