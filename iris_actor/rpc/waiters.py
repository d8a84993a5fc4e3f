"""Waiters: threads and asyncio tasks that wait for a condition to be looked at again."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from iris_actor import signals
from iris_actor.deadline import Deadline
from iris_actor.rpc.io_thread import check_not_forked


class Waiters:
    """Wakes whoever waits until `ready()` is true. Thread-safe.

    The state that `ready` looks at lies outside, and is changed before `wake` is called.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def wake(self) -> None:
        """Have all that wait look again. Cheap when nobody does."""
        while self._waiting:
            try:
                wake_one = self._waiting.popleft()
            except IndexError:  # another thread took the last one
                return
            wake_one()

    def wait(self, ready: Callable[[], bool], deadline: Deadline) -> bool:
        """Block until `ready()`; False when the deadline passed before.

        Raises:
            ForkedProcessError: nobody will wake anybody in this process.
        """
        while not ready():
            check_not_forked()
            event = threading.Event()
            self._waiting.append(event.set)
            # Looked at again after enqueueing: a wake between the two would else be missed.
            if ready():
                return True
            if not signals.wait(event.wait, deadline.timeout):
                return ready()
        return True

    async def wait_async(self, ready: Callable[[], bool], deadline: Deadline) -> bool:
        """As `wait`, for a task of any event loop."""
        loop = asyncio.get_running_loop()
        while not ready():
            check_not_forked()
            future = loop.create_future()
            self._waiting.append(_waker(loop, future))
            if ready():
                return True
            try:
                await asyncio.wait_for(future, deadline.timeout)
            except TimeoutError:
                return ready()
        return True


def _waker(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> Callable[[], None]:
    def set_result() -> None:
        if not future.done():
            future.set_result(None)

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(set_result)
        except RuntimeError:  # the waiter's loop is closed, and the waiter with it
            pass

    return wake
