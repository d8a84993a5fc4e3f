"""Signals of the worker process: SIGTERM ends it, and unwinds the task that runs; Ctrl-C is the driver's.

::

    SIGTERM ─▶ C handler of CPython's ─▶ main thread, between two instructions: SystemExit in the task
                  └─ wakeup fd ─▶ watcher thread: again, as long as the main thread has not noticed
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from iris_actor.threads.after_fork import ForkStage, at_fork
from iris_actor.work.worker.task_runner import TaskRunner

AGAIN = 0.05
"""Seconds in which the main thread notices a signal, unless it has just begun to wait for something."""

_OURS = (signal.SIGTERM, signal.SIGINT)
"""Signals that the worker handles in its own way."""


def handle_signals(runner: TaskRunner) -> None:
    """Handle SIGTERM and SIGINT from now on. For the main thread."""
    signal.signal(signal.SIGTERM, _on_sigterm(runner))
    # Ctrl-C is the driver's to handle. A handler and not SIG_IGN, which children of tasks would inherit.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    _keep_signals_from_children()
    _deliver_for_sure(runner)


def _on_sigterm(runner: TaskRunner) -> Callable[[int, FrameType | None], None]:
    def end(_number: int, _frame: FrameType | None) -> None:
        first = not runner.stopping
        runner.stop()
        if first and runner.busy:
            # Unwinds the task that is running, so that its finally blocks and context managers clean up.
            raise SystemExit(0)

    return end


def _deliver_for_sure(runner: TaskRunner) -> None:
    """Send the main thread another SIGTERM where it missed one.

    A signal that comes after its last look for one and before a wait blocks, or that the system gave to
    another thread, does not end that wait: a task would sleep on, and nobody would end it.
    """
    main = threading.main_thread().ident
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def watch() -> None:
        while True:
            if signal.SIGTERM in os.read(read, 64):
                time.sleep(AGAIN)
                _repeat(runner, main)

    threading.Thread(target=watch, name="iris-signals", daemon=True).start()


def _repeat(runner: TaskRunner, main: int | None) -> None:
    if not runner.stopping and main is not None:
        signal.pthread_kill(main, signal.SIGTERM)  # which wakes the watcher as well


def _keep_signals_from_children() -> None:
    """Have children that a task forks (multiprocessing, data loaders) meet signals as in any program.

    Taking the handlers back in the child alone is not enough: Python forgets a signal that its handler
    caught between the fork and there, and a `multiprocessing.Pool` that ends at once would wait for ever
    for a child that did not hear its SIGTERM. Blocked meanwhile, it stays pending.
    """
    before = threading.local()

    def block() -> None:
        before.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before.mask)

    def unblock_in_child() -> None:
        signal.set_wakeup_fd(-1)  # what the child hears is not the worker's to know
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        unblock()

    at_fork(ForkStage.SIGNALS, before=block, in_parent=unblock, in_child=unblock_in_child)
