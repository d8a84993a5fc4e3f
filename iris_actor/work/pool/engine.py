"""Engine: the one lock and the one thread of a pool, around its scheduler.

::

    submit ─────────────┐                                   ┌─▶ Sender ─────▶ worker
    replies ────────────┤                                   ├─▶ Settler ────▶ futures
    TaskFuture.cancel ──┼─▶ lock ─▶ Scheduler ─▶ actions ──▶┤
    launcher, registry ─┤            (decides)              ├─▶ WorkerSource: start, find, end processes
    the clock ──────────┘                                   └─▶ wake(): the thread looks again

An event is told to the scheduler under the lock; the thread that told it carries the actions out, without the
lock. Only the engine's own thread calls `tick`, and so only that thread starts and buries workers.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty
from typing import Any

from iris_actor import signals
from iris_actor.actor.callbacks import is_callback_thread
from iris_actor.errors import BrokenWorkerPool, IrisError
from iris_actor.program_exit import is_program_exit
from iris_actor.unpatched import SimpleQueue
from iris_actor.work.launch.launcher import LauncherTraits
from iris_actor.work.pool.config import WorkerPoolConfig
from iris_actor.work.pool.decisions import Event, R
from iris_actor.work.pool.feeder import Feeder
from iris_actor.work.pool.monitor.pool_log import PoolLog
from iris_actor.work.pool.monitor.pool_status import PoolStatus
from iris_actor.work.pool.monitor.status_report import status_report
from iris_actor.work.pool.outcome_receiver import OutcomeReceiver, overtime
from iris_actor.work.pool.payload.functions import Functions
from iris_actor.work.pool.payload.task import Task
from iris_actor.work.pool.payload.task_future import TaskFuture
from iris_actor.work.pool.payload.task_options import TaskOptions
from iris_actor.work.pool.scheduler.actions import (
    Action,
    AskBack,
    Settle,
    Tell,
    Verdict,
    WakeUp,
)
from iris_actor.work.pool.scheduler.scheduler import Scheduler
from iris_actor.work.pool.scheduler.task_queue import FEED, TICK
from iris_actor.work.pool.scheduler.timeouts import Seen
from iris_actor.work.pool.sender import Sender
from iris_actor.work.pool.settler import Settler, one_line
from iris_actor.work.pool.workers.worker_source import WorkerSource
from iris_actor.work.pool.workers.workforce import Workforce
from iris_actor.work.worker.task_wire import FIRST_TASK, does_not_pickle

AFTER_SHUTDOWN = "cannot schedule new futures after shutdown"
"""As the standard library puts it."""


class Engine:
    """Runs the tasks of one pool on its workers. Thread-safe.

    Args:
        pool_name: the pool's name.
        config: the pool's configuration.
        traits: of the launcher that starts its workers.
        open_source: opens, in the engine's thread, what workers come from. It gets the function that wakes
            the engine, and the one that tells the pool's status.

    Attributes:
        functions: what tasks call, and the objects that they share.
        shut: whether the pool takes no more tasks.
        forked_from: the pool's process, in a child that was forked from it; None in that process itself.
    """

    def __init__(
        self,
        pool_name: str,
        config: WorkerPoolConfig,
        *,
        traits: LauncherTraits,
        open_source: Callable[[Callable[[], None], Callable[[], PoolStatus]], WorkerSource],
    ) -> None:
        self.functions = Functions()
        self.shut = False
        self.forked_from: int | None = None
        self._name = pool_name
        self._config = config
        self._open_source = open_source
        self._lock = threading.Lock()  # guards the scheduler and `_broken`
        self._changed = threading.Condition(self._lock)
        rules = config.rules(traits)
        self._scheduler: Scheduler[Task] = Scheduler(rules, config.bounds)
        self._broken: tuple[str, BaseException | None] | None = None
        self._settler = Settler()
        receiver = OutcomeReceiver(
            self, self._settler, self.functions, self._run_again, config.resources.memory
        )
        self._sender = Sender(self.functions, self, self._settler, receiver)
        self._workforce = Workforce(
            pool_name,
            config,
            rules,
            self,
            functions=self.functions,
            sender=self._sender,
            settler=self._settler,
        )
        self._seen: Seen = {}
        self._seqs = itertools.count(FIRST_TASK)
        self._feeder = Feeder(self, self._sender)
        # Not an Event, and `end` takes no lock: Ctrl-C in the main thread, or a finalizer in whatever thread,
        # may come between a lock of Python's own and its release, and would leave it taken for ever.
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._prepared = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"iris-pool-{pool_name}", daemon=True)

    # --- the pool's face ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(
        self,
        fn: Callable[..., Any],
        args: Any,
        kwargs: Any,
        options: TaskOptions,
        *,
        spread: bool = False,
        weight: int = 1,
    ) -> TaskFuture[Any]:
        """Queue a call; `spread` and `weight` as in `Task`. A function that does not pickle fails its future.

        Raises:
            BrokenWorkerPool: the pool is broken.
            RuntimeError: the pool ends.
        """
        config = self._config
        task = Task(
            next(self._seqs),
            fn,
            args,
            kwargs,
            stopper=self._stop,
            timeout=config.task_timeout if options.timeout is None else options.timeout,
            max_retries=config.max_retries if options.max_retries is None else options.max_retries,
            spread=spread,
            weight=weight,
        )
        future = task.future
        try:
            task.function = self.functions.find(task.fn)
        except BaseException as error:
            if is_program_exit(error):
                raise
            self._settler.reject(task, does_not_pickle(error))
            return future
        with self._lock:
            scheduler = self._scheduler
            if scheduler.closed:
                raise self._broken_error() if self._broken is not None else RuntimeError(AFTER_SHUTDOWN)
            followup = scheduler.submit(task)
        if followup is FEED:
            self._feeder.feed_unless_main()
        elif followup is TICK:
            self.wake()
        return future

    def _stop(self, task: Task, kill: bool) -> bool:
        """See `Task.stop`."""
        future = task.future
        self.tell(lambda scheduler, now: scheduler.cancel(task, now, kill=kill))
        return future.cancelled()

    def cancel_waiting(self) -> None:
        """Cancel all tasks that no worker has had yet."""
        for task in self.ask(lambda scheduler, _: scheduler.waiting()):
            self._settler.cancel(task)
        self.wake()

    def check_not_broken(self) -> None:
        """Raise the BrokenWorkerPool that says why the pool is broken, if it is."""
        if self._broken is not None:
            raise self._broken_error()

    def _broken_error(self) -> BrokenWorkerPool:
        reason, cause = self._broken or ("", None)
        error = BrokenWorkerPool(reason)
        error.__cause__ = cause
        return error

    def status(self) -> PoolStatus:
        """What the pool looks like now."""
        with self._lock:
            broken = self._broken
            return status_report(
                self._name,
                self._scheduler,
                self._workforce.get,
                self._settler.counts(),
                None if broken is None else broken[0],
            )

    def resize(self, bounds: tuple[int, int]) -> None:
        """Aim at another number of workers, between the least and the most."""
        self.ask(lambda scheduler, _: scheduler.resize(bounds))
        self.wake()

    @property
    def target(self) -> int:
        """The number of workers aimed at now."""
        return self._scheduler.sizing.target

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the most workers."""
        return self._scheduler.sizing.bounds

    @property
    def ready(self) -> int:
        """How many workers are ready."""
        return self._scheduler.crew.ready

    def wake(self) -> None:
        """Have the thread look at everything soon."""
        if self._wakes.empty():
            self._wakes.put(None)

    def end(self, *, kill: bool = False) -> None:
        """End the workers, once no task is left or, with `kill`, at once. Takes no lock, returns at once."""
        scheduler = self._scheduler
        scheduler.killed = scheduler.killed or kill
        scheduler.ending = True
        self.wake()

    @property
    def over(self) -> bool:
        """Whether no worker is left, and none will come."""
        return not self._thread.is_alive()

    def wait_over(self, timeout: float | None = None) -> None:
        """Wait until the pool is over. In a thread that the end depends on, it returns at once."""
        if threading.current_thread() is not self._thread and not is_callback_thread():
            signals.wait(self._joined, timeout)

    def _joined(self, timeout: float) -> bool:
        self._thread.join(timeout)
        return self.over

    def wait_prepared(self) -> None:
        """Wait until all threads run that the pool may need, or it is clear that they never will."""
        signals.wait(self._prepared.wait, None)

    def wait_ready(self, count: int, timeout: float | None) -> bool:
        """Wait until `count` workers are ready, or can no longer become so."""

        def settled() -> bool:
            return self.ready >= count or self._scheduler.ending or self._broken is not None

        # The lock itself, for the reason given above: entering the Condition is Python code.
        with self._lock:
            return signals.wait(partial(self._changed.wait_for, settled), timeout)

    # --- what workers are sent ------------------------------------------------------------------------

    def feed(self) -> None:
        """Give tasks to workers until one or the other runs out."""
        self._feeder.feed()

    # --- what workers answer --------------------------------------------------------------------------

    def link_failed(self, process: int, error: BaseException) -> None:
        """See `Decisions`."""
        found = self._workforce.get(process)
        with self._lock:
            if found is not None and found.error is None:
                found.error = error
            self._scheduler.link_failed(process, time.monotonic())
        self.wake()

    def _run_again(self, task: Task, renewed: Iterable[int]) -> None:
        self._sender.renewed(renewed)
        seq = next(self._seqs)
        self.tell(lambda scheduler, _: scheduler.submit_again(task, seq))
        self.feed()

    def settled(self, process: int, count: int) -> None:
        """See `Decisions`."""
        with self._lock:
            self._scheduler.settled(count)
            needs_tick = self._scheduler.needs_tick(process)
        if needs_tick:
            self.wake()

    def _on_given_back(self, process: int, call: Future[Any]) -> None:
        try:
            seqs = call.result()
        except BaseException as error:
            self.link_failed(process, error)
            return
        self.tell(lambda scheduler, _: scheduler.given_back(process, seqs))
        self.feed()

    def _on_told(self, process: int, seq: int, call: Future[Any]) -> None:
        if call.cancelled() or call.exception() is not None or not call.result():
            return  # the worker is lost, or the task runs, or ran
        self.tell(lambda scheduler, _: scheduler.dropped(process, seq))
        self.feed()

    # --- carrying actions out -------------------------------------------------------------------------

    def ask(self, question: Callable[[Scheduler[Task], float], R]) -> R:
        """See `Decisions`."""
        with self._lock:
            return question(self._scheduler, time.monotonic())

    def tell(self, event: Event) -> None:
        """See `Decisions`."""
        with self._lock:
            actions = event(self._scheduler, time.monotonic())
        if actions:
            self._do(actions)

    def _do(self, actions: Iterable[Action[Task]]) -> None:
        for action in actions:
            match action:
                case Settle():
                    self._settle(action)
                case Tell(process, seq, drop):
                    link = self._workforce.link_of(process)
                    if link is not None:
                        link.stop(seq, drop, partial(self._on_told, process, seq))
                case AskBack(process):
                    link = self._workforce.link_of(process)
                    if link is not None:
                        link.withdraw(partial(self._on_given_back, process))
                case WakeUp():
                    self.wake()
                case _:
                    self._workforce.do(action)
                    with self._changed:
                        self._changed.notify_all()
                    self.feed()

    def _settle(self, settle: Settle[Task]) -> None:
        task, process = settle.task, self._workforce.get(settle.process)
        if settle.verdict is Verdict.CANCELLED:
            self._settler.withdraw(task)
        elif settle.verdict is Verdict.TIMED_OUT:
            name = "" if process is None else process.name
            self._settler.reject(task, overtime(process, task), name)
        else:
            self._settler.reject(task, self._broken_error())
        self.settled(settle.process, 1)

    # --- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._workforce.open(self._open_source(self.wake, self.status))
            while self._step():
                self._workforce.source.prepare()  # once the first workers are on their way
                self._prepared.set()
                self._rest(self._next_look())
        except BaseException as error:
            self._fail(error)
            self._workforce.abandon()
        finally:
            self._prepared.set()
            done, failed, _ = self._settler.counts()
            PoolLog(self._name).ended(done, failed, None if self._broken is None else self._broken[0])
            try:
                self._workforce.close()
            finally:
                with self._changed:
                    self._scheduler.ending = True
                    self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        if not self._workforce.is_open or isinstance(error, IrisError):
            # What is missing is said by the text, and where we noticed that helps nobody.
            error.__cause__ = error.__traceback__ = None
            error.__suppress_context__ = True
            self.break_down(f"no worker can be started: {one_line(error)}", error)
        else:
            self.break_down(f"its workers cannot be managed: {one_line(error)}", error)

    def break_down(self, reason: str, cause: BaseException | None = None) -> None:
        """Fail everything that is queued or with a worker, and refuse what comes. Idempotent."""
        with self._lock:
            if self._broken is None:
                self._broken = (reason, cause)
            actions = self._scheduler.break_down()
        self._do(actions)

    def _rest(self, timeout: float | None) -> None:
        """Wait until somebody wakes us, or `timeout` seconds."""
        with suppress(Empty):
            self._wakes.get(timeout=timeout)
            while True:
                self._wakes.get_nowait()

    def _step(self) -> bool:
        """Look at everything once; False when the pool is over."""
        scheduler = self._scheduler
        if scheduler.ending:
            with self._changed:
                self._changed.notify_all()
        if scheduler.killed:
            self.break_down("it was killed")
        self._workforce.look()
        self._seen = self._workforce.recordings(self.ask(lambda scheduler, _: scheduler.to_observe()))
        self.tell(lambda scheduler, now: scheduler.tick(now, self._seen))
        return not scheduler.is_over

    def _next_look(self) -> float:
        left = self.ask(lambda scheduler, now: scheduler.next_due(now, self._seen) - now)
        return max(0.0, min(self._workforce.source.poll_interval, left))
