"""ActorLoop: the event loop that runs the async methods of one actor."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from iris_actor.actor.group import Task
from iris_actor.forked_child import isolate_in_child
from iris_actor.rpc.io_thread import io_thread
from iris_actor.rpc.loop_queue import queue_into
from iris_actor.unpatched import new_event_loop

_LOOK = 1.0
"""Seconds between two looks at a loop of the program's that has calls on it."""
_PATIENCE = 5
"""Looks after which a loop that was never seen running has ended: a program may pause it."""
_ROUNDS = 10
"""How often a loop is run to its end: whatever its last tasks raise may stop it each time."""

_log = logging.getLogger(__name__)


class ActorLoop:
    """An event loop in a thread of its own, or one that the program already runs. Thread-safe.

    Each actor has its own thread, so that a method that blocks its loop holds up no other actor. In an
    asyncio program (``async with ActorServer(...)``) methods run on the program's loop instead, where
    its locks and connections belong.

    SystemExit and KeyboardInterrupt pass through asyncio, and ``loop.stop()`` is anybody's to call: the
    actor's own loop goes on after all of them. One that is broken is replaced with the next call. The
    program's loop is the program's to end.

    Args:
        name: of the actor.
        loop: the program's loop; None for one of its own.
        on_end: called when the loop has ended for good, in any thread. What is in `calls` then will never
            run, or go on.

    Attributes:
        calls: what was started on the loop and is not over, each with the asyncio task that runs it, or None
            as long as it has none. `start` puts in, whoever ends a call takes out.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop | None, on_end: Callable[[], None]) -> None:
        self.calls: dict[Task, asyncio.Task[None] | None] = {}
        self._name = name
        self._programs = loop
        self._own: asyncio.AbstractEventLoop | None = None
        self._on_end = on_end
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()  # guards _own, _thread and _closed
        self._closed = False
        self._watching = False
        self._looks = 0

    def start(self, task: Task, fn: Callable[[], None]) -> bool:
        """Run `fn` in the loop, for `task`. False: there is no loop that runs."""
        self.calls[task] = None  # before the look: one that ends just now finds it
        loop = self._programs
        if loop is None:
            loop = self._own or self._begin()
        elif not loop.is_running():
            loop = None
        elif not self._watching:
            io_thread().call_soon(self._begin_watch)
        if loop is None:
            self.calls.pop(task, None)
            return False
        queue_into(loop).call_soon(fn)
        return True

    # --- the actor's own loop -------------------------------------------------------------------------

    def _begin(self) -> asyncio.AbstractEventLoop | None:
        with self._lock:
            if self._own is None and not self._closed:
                loop = new_event_loop()
                isolate_in_child(loop)
                self._thread = threading.Thread(
                    target=self._run, args=(loop,), name=f"iris-actor-{self._name}-loop", daemon=True
                )
                self._own = loop
                self._thread.start()
            return self._own

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        while not self._closed:
            try:
                loop.run_forever()
            except Exception:
                _log.exception("the event loop of actor %s broke: its next call gets another", self._name)
                with self._lock:
                    self._own = None
                self._on_end()
                with suppress(BaseException):
                    loop.close()
                return
            except BaseException:  # asyncio lets SystemExit and KeyboardInterrupt through
                _log.exception("the event loop of actor %s goes on after what was to end it", self._name)
        _wind_up(loop)
        self._on_end()

    def close(self, timeout: float = 1.0) -> None:
        """Cancel what runs and end the thread, waiting for it up to `timeout` seconds. Idempotent."""
        with self._lock:
            self._closed = True
            thread, loop = self._thread, self._own
        if thread is None or loop is None or not thread.is_alive():
            return
        with suppress(RuntimeError):  # it is closed by now
            loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(timeout)

    # --- the program's loop, watched from the I/O thread ----------------------------------------------

    def _begin_watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._watch()

    def _watch(self) -> None:
        loop = self._programs
        assert loop is not None  # noqa: S101 - only such a loop is watched
        self._looks = 0 if loop.is_running() else self._looks + 1
        if loop.is_closed() or self._looks >= _PATIENCE:
            self._on_end()
        self._watching = False
        if self.calls:  # looked at after the flag is down: who comes later begins another watch
            self._watching = True
            io_thread().loop.call_later(_LOOK, self._watch)


def _wind_up(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left on a loop that has ended, let it tidy up, and close the loop."""
    told: set[asyncio.Task[object]] = set()
    for _ in range(_ROUNDS):
        leftover = asyncio.all_tasks(loop)
        if not leftover:
            break
        for task in leftover - told:
            task.cancel()
        told |= leftover
        with suppress(BaseException):  # what a task raises here ends the loop once more
            loop.run_until_complete(asyncio.gather(*leftover, return_exceptions=True))
    with suppress(BaseException):
        loop.run_until_complete(loop.shutdown_asyncgens())
    with suppress(BaseException):
        loop.close()
