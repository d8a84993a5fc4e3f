"""Feeder: has the tasks sent that the scheduler gives to workers.

Whoever makes room for tasks, or submits one, also feeds the workers. The main thread does not: Ctrl-C in the
middle would leave a worker waiting for ever for what it was promised. It has another thread do it.
"""

from __future__ import annotations

import threading

from iris_actor.rpc.serial_thread import SerialThread
from iris_actor.work.pool.decisions import Decisions
from iris_actor.work.pool.payload.task import Task
from iris_actor.work.pool.scheduler.actions import Send
from iris_actor.work.pool.scheduler.scheduler import Scheduler
from iris_actor.work.pool.sender import Sender

_others = SerialThread("iris-dispatch")


class Feeder:
    """Feeds the workers of one pool. Thread-safe."""

    def __init__(self, decisions: Decisions, sender: Sender) -> None:
        self._decisions = decisions
        self._sender = sender
        self._asked = False  # whether the other thread is about to feed

    def feed_unless_main(self) -> None:
        """Feed, or have another thread do it if this is the main thread."""
        if threading.current_thread() is not threading.main_thread():
            self.feed()
        elif not self._asked:
            self._asked = True
            try:
                _others.run(self._feed_as_asked)
            except BaseException:  # Ctrl-C just here
                self._asked = False
                raise

    def _feed_as_asked(self) -> None:
        self._asked = False
        self.feed()

    def feed(self) -> None:
        """Give tasks to workers until one or the other runs out."""
        while True:
            send, wants_tick = self._decisions.ask(_next_batch)
            if send is None:
                if wants_tick:
                    self._decisions.wake()
                return
            self._send(send)

    def _send(self, send: Send[Task]) -> None:
        unsent: list[Task] = []
        empty = False
        try:
            unsent, empty = self._sender.send(send)
        except BaseException as error:  # the link cannot take a call
            self._decisions.link_failed(send.process, error)
        self._decisions.tell(lambda scheduler, now: scheduler.sent(send.process, unsent, now, empty=empty))


def _next_batch(scheduler: Scheduler[Task], now: float) -> tuple[Send[Task] | None, bool]:
    send = scheduler.next_batch(now)
    return send, send is None and scheduler.wants_tick
