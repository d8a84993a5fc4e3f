"""The one background thread that does all network I/O of a process, an asyncio loop.

Other threads hand work over through a queue that wakes the loop once per burst::

    any thread ─ call_soon(fn) ─► LoopQueue ─► (one self-pipe write) ─► loop: fn(), fn(), fn()
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from iris_actor.errors import ForkedProcessError
from iris_actor.rpc.buffers import keep_freed_memory
from iris_actor.rpc.limits import KIB
from iris_actor.rpc.loop_queue import LoopQueue
from iris_actor.threads.after_fork import ForkStage, at_fork
from iris_actor.unpatched import check_threads, new_event_loop

T = TypeVar("T")

_SCRATCH = 64 * KIB
_log = logging.getLogger(__name__)

_lock = threading.Lock()
_current: IOThread | None = None
_used_before_fork_by: int | None = None
_inherited: list[IOThread] = []


class IOThread:
    """An asyncio loop in a daemon thread, and the queue that leads into it.

    Attributes:
        loop: the loop.
        call_soon: runs a function in the loop (`LoopQueue.call_soon`).
        scratch: memory for what the loop reads and uses at once, of whichever connection.
    """

    def __init__(self) -> None:
        self.loop = _new_loop()
        self._queue = LoopQueue(self.loop)
        self.call_soon = self._queue.call_soon
        self._forked_from: int | None = None
        self.scratch = memoryview(bytearray(_SCRATCH))
        self._closers: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="iris-io", daemon=True)
        self._thread.start()

    @property
    def is_current(self) -> bool:
        """Whether the calling thread is the I/O thread."""
        return threading.get_ident() == self._thread.ident

    @property
    def alive(self) -> bool:
        """Whether the thread runs, as it does until `stop` unless it ran out of memory."""
        return self._thread.is_alive()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine in the loop; the future is its result.

        Raises:
            ForkedProcessError: in a process forked from the one that made this.
        """
        if self._forked_from is not None:
            coroutine.close()
            raise ForkedProcessError(self._forked_from)
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def at_exit(self, closer: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have `closer()` awaited, for a bounded time, before the interpreter exits."""
        self._closers.append(closer)

    def _run(self) -> None:
        keep_freed_memory()
        asyncio.set_event_loop(self.loop)
        while not self._stopping:
            try:
                self.loop.run_forever()
            except Exception:  # memory is short, say: what the loop has lost, nobody can tell
                raise
            except BaseException:  # every call of the process needs the loop
                _log.exception("the I/O thread goes on after what was to end it")

    def abandon(self) -> None:
        """Have nothing wait for the thread any more. In a forked child, which does not have it."""
        self._forked_from = os.getppid()
        self._queue.abandon()

    def stop(self, timeout: float) -> None:
        """Await the closers, stop the loop and join the thread. Only for the end of the process."""

        async def close_all() -> None:
            await asyncio.wait_for(
                asyncio.gather(*(closer() for closer in self._closers), return_exceptions=True), timeout
            )

        if not self._thread.is_alive():
            return
        try:
            self.run(close_all()).result(timeout + 0.5)
        except (TimeoutError, RuntimeError):
            pass
        self._stopping = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(1)


def _new_loop() -> asyncio.AbstractEventLoop:
    # uvloop takes about a tenth off a lone call; it has no wheels for some platforms.
    try:
        import uvloop
    except ImportError:
        return new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def io_thread() -> IOThread:
    """The I/O thread of this process, started on first use.

    Raises:
        ForkedProcessError: when this process was forked from one that had it running.
        PatchedThreadsError: `threading` is monkey-patched.
    """
    global _current  # noqa: PLW0603 - one a process, by design
    current = _current
    if current is not None:
        return current
    if _used_before_fork_by is not None:
        raise ForkedProcessError(_used_before_fork_by)
    check_threads()
    with _lock:
        if _current is None:
            _current = IOThread()
            atexit.register(_current.stop, 1.0)
        return _current


def is_forked() -> bool:
    """Whether this is a child of a process that had the I/O thread running."""
    return _used_before_fork_by is not None


def check_not_forked() -> None:
    """Raise ForkedProcessError where whoever waits for what the I/O thread does would never be woken."""
    if _used_before_fork_by is not None:
        raise ForkedProcessError(_used_before_fork_by)


def _after_fork_in_child() -> None:
    # The loop's thread does not exist in the child and gRPC's core is not usable there: use fails with a
    # clear error, and the atexit hook does not wait for the thread.
    global _current, _used_before_fork_by, _lock  # noqa: PLW0603
    _lock = threading.Lock()
    if _current is not None:
        atexit.unregister(_current.stop)
        _used_before_fork_by = os.getppid()
        _current.abandon()
        # Kept: the loop holds gRPC's objects, whose end would wait for gRPC's threads.
        _inherited.append(_current)
        _current = None


at_fork(ForkStage.CONNECTIONS, in_child=_after_fork_in_child)
