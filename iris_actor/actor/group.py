"""Group: the queue in front of the methods of an actor that share a limit."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple

from iris_actor.actor.method import Method
from iris_actor.rpc.incoming_call import IncomingCall


class Task(NamedTuple):
    """A call and the method that serves it."""

    call: IncomingCall
    method: Method


class Group:
    """Admits up to `limit` tasks at a time, in the order of their arrival. Thread-safe.

    It only keeps count: whoever gets a task from `admit` or `finished` runs it.
    """

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self._lock = threading.Lock()  # guards what follows
        self._running: set[Task] = set()
        self._waiting: deque[Task] = deque()

    def admit(self, task: Task) -> bool:
        """Whether `task` is to be run now; else it waits its turn.

        Raises:
            RecursionError: everything that runs here waits for `task` itself: it would never get its turn.
        """
        with self._lock:
            if len(self._running) < self.limit:
                self._running.add(task)
                return True
            chain = task.call.chain
            if chain and all(other.call.known_uid in chain for other in self._running):
                raise RecursionError
            self._waiting.append(task)
            return False

    def finished(self, task: Task) -> Task | None:
        """`task` is done; returns the one that is to be run in its place. The second time it does nothing."""
        with self._lock:
            if task not in self._running:
                return None
            self._running.remove(task)
            if not self._waiting:
                return None
            following = self._waiting.popleft()
            self._running.add(following)
            return following

    @property
    def waiting(self) -> bool:
        """Whether a task waits its turn."""
        return bool(self._waiting)

    def clear(self) -> list[Task]:
        """Take out all that wait."""
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
            return waiting
