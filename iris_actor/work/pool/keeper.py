"""Keeper: the thread that sees to a pool's workers, from their start to their end.

::

    launcher (a process ended) ─┐
    registry (a worker is there)├─▶ wake() ─▶ keeper thread: start, find, restart, bury, retire
    dispatcher (a link failed)  ┘                │
                                                 └─▶ dispatcher: tasks of lost workers go back to the queue

All decisions about workers are made here, one after the other, so none of them races with another. What
takes long (initializer, end of a process) is waited for by a state with a due time, never by blocking.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty

from iris_actor import signals
from iris_actor.actor.callbacks import is_callback_thread
from iris_actor.errors import IrisError
from iris_actor.unpatched import SimpleQueue
from iris_actor.work.client import IrisClient
from iris_actor.work.launch.launcher import Launch, ReplicaState, ReplicaStatus
from iris_actor.work.pool.config import WorkerPoolConfig
from iris_actor.work.pool.dispatcher import Dispatcher
from iris_actor.work.pool.elasticity import Elasticity
from iris_actor.work.pool.exit_threads import start_threads_for_exit
from iris_actor.work.pool.loss import Loss
from iris_actor.work.pool.pool_log import PoolLog
from iris_actor.work.pool.pool_monitor import PoolMonitor
from iris_actor.work.pool.pool_status import Failure, PoolStatus
from iris_actor.work.pool.task_queue import one_line
from iris_actor.work.pool.worker_slot import SlotState, WorkerSlot
from iris_actor.work.pool.worker_starter import WorkerStarter

SETTLE = 0.5
"""Seconds that replies of a worker whose process has ended may still take to arrive."""
LOST = 10.0
"""Seconds after which a worker that cannot be reached is given up, though its launcher says it runs."""
UNWIND = 1.0
"""Seconds between SIGTERM, which raises SystemExit in a task that does not stop, and SIGKILL."""
TICK = 0.05
"""Seconds between looks while something is likely to change without notice."""

_ALIVE = frozenset({SlotState.STARTING, SlotState.SETTING_UP, SlotState.READY, SlotState.LOST})


class Keeper:
    """Sees to the workers of one pool. `wake`, `resize`, `end` and `wait_*` are for any thread.

    Attributes:
        dispatcher: of the pool.
        shut: whether the pool takes no more tasks.
        forked_from: the pool's process, in a child that was forked from it; None in that process itself.

    Args:
        pool_name: the pool's name.
        config: the pool's configuration.
        connect: makes, in the keeper's thread, the client whose launcher and registry the workers use.
        disconnect: gives it back at the end.
    """

    def __init__(
        self,
        pool_name: str,
        config: WorkerPoolConfig,
        *,
        prefetch: bool,
        connect: Callable[[], IrisClient],
        disconnect: Callable[[], None],
    ) -> None:
        self.dispatcher = Dispatcher(config, prefetch=prefetch, wake=self.wake)
        self.shut = False
        self.forked_from: int | None = None
        self._name = pool_name
        self._log = PoolLog(pool_name)
        self._config = config
        self._connect = connect
        self._disconnect = disconnect
        self._client: IrisClient | None = None
        self._lock = self.dispatcher.lock
        self._changed = threading.Condition(self._lock)
        # Not an Event, and `end` takes no lock: Ctrl-C in the main thread, or a finalizer in whatever thread,
        # may come between a lock of Python's own and its release, and would leave it taken for ever.
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._size = Elasticity(self.dispatcher, config.bounds, config.idle_timeout)
        self._ending = False
        self._killed = False
        self._prepared = threading.Event()
        self._polled: dict[Launch, tuple[ReplicaStatus, ...]] = {}
        self._thread = threading.Thread(target=self._run, name=f"iris-pool-{pool_name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wait_prepared(self) -> None:
        """Wait until all threads run that the pool may need, or it is clear that they never will."""
        signals.wait(self._prepared.wait, None)

    def wake(self) -> None:
        """Have the thread look at everything soon."""
        if self._wakes.empty():
            self._wakes.put(None)

    def resize(self, bounds: tuple[int, int]) -> None:
        """Aim at another number of workers, between the least and the most."""
        with self._lock:
            self._size.resize(bounds)
        self.wake()

    @property
    def target(self) -> int:
        """The number of workers aimed at now."""
        return self._size.target

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the most workers."""
        return self._size.bounds

    def end(self, *, kill: bool = False) -> None:
        """End the workers, once no task is left or, with `kill`, at once. Takes no lock, returns at once."""
        self._killed = self._killed or kill
        self._ending = self.dispatcher.ending = True
        self.wake()

    @property
    def over(self) -> bool:
        """Whether no worker is left, and none will come."""
        return not self._thread.is_alive()

    def wait_over(self, timeout: float | None = None) -> None:
        """Wait for that; not in a thread that has to do with it, as those of done callbacks may."""
        if threading.current_thread() is not self._thread and not is_callback_thread():
            signals.wait(self._joined, timeout)

    def _joined(self, timeout: float) -> bool:
        self._thread.join(timeout)
        return self.over

    def wait_ready(self, count: int, timeout: float | None) -> bool:
        """Wait until `count` workers are ready, or can no longer become so."""

        def settled() -> bool:
            return self.ready >= count or self._ending or self.dispatcher.queue.broken is not None

        # The lock itself, for the reason given above: entering the Condition is Python code.
        with self._lock:
            return signals.wait(partial(self._changed.wait_for, settled), timeout)

    @property
    def ready(self) -> int:
        """How many workers are ready."""
        return sum(slot.state is SlotState.READY and not slot.retiring for slot in self.dispatcher.slots)

    # --- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        monitor: PoolMonitor | None = None
        try:
            self._client = client = self._connect()
            self._starter = WorkerStarter(
                client,
                self._config,
                self.dispatcher,
                pool_name=self._name,
                wake=self.wake,
                on_ready=self._ready,
                on_died=lambda slot, how: self._died(slot, how, explained=False),
            )
            monitor = PoolMonitor(
                client, self._name, lambda: PoolStatus.of(self._name, self.dispatcher, self.bounds)
            )
            while self._step():
                monitor.start()  # once the first workers are on their way
                self._prepare(client, monitor)
                self._rest(self._next_look())
        except BaseException as error:
            self._break_down(error)
            self._abandon()
        finally:
            self._prepared.set()
            self._log.ended(self.dispatcher.queue)
            try:
                if monitor is not None:
                    monitor.stop()
                self._disconnect()
            finally:
                with self._changed:
                    self._ending = True
                    self._changed.notify_all()

    def _break_down(self, error: BaseException) -> None:
        if self._client is None or isinstance(error, IrisError):
            # What is missing is said by the text, and where we noticed that helps nobody.
            error.__cause__ = error.__traceback__ = None
            error.__suppress_context__ = True
            self.dispatcher.break_down(f"no worker can be started: {one_line(error)}", error)
        else:
            self.dispatcher.break_down(f"its workers cannot be managed: {one_line(error)}", error)

    def _prepare(self, client: IrisClient, monitor: PoolMonitor) -> None:
        if not self._prepared.is_set():
            start_threads_for_exit(client, monitor)
        self._prepared.set()

    def _rest(self, timeout: float | None) -> None:
        """Wait until somebody wakes us, or `timeout` seconds."""
        with suppress(Empty):
            self._wakes.get(timeout=timeout)
            while True:
                self._wakes.get_nowait()

    def _abandon(self) -> None:
        for slot in self.dispatcher.slots:
            if slot.launch is not None:
                slot.launch.cancel(slot.replica, grace=0.0)
            if slot.link is not None:
                slot.link.close()

    def _step(self) -> bool:
        """Look at everything once; False when the pool is over."""
        self._polled.clear()
        if self._ending:
            with self._changed:
                self._changed.notify_all()
        if self._killed:
            self.dispatcher.break_down("it was killed")
        if self._should_end():
            return not self._end_workers()
        self.dispatcher.stopper.expire()
        with self._lock:
            self._size.fit()
        self._start_due()
        for slot in list(self.dispatcher.slots):
            self._look_at(slot)
        self.dispatcher.withdrawal.look()
        return True

    def _next_look(self) -> float | None:
        assert self._client is not None  # noqa: S101 - set before the first look
        with self._lock:
            timeout: float = self._client.launcher.poll_interval
            withdrawal = self.dispatcher.withdrawal
            withdrawal.watched = withdrawal.needed
            if self._ending or withdrawal.watched:
                timeout = TICK
            dues = [slot.due for slot in self.dispatcher.slots if slot.due > 0]
            dues += [
                due for due in (self.dispatcher.stopper.next_due(), self._size.next_due()) if due is not None
            ]
        if dues:
            timeout = min(timeout, max(0.0, min(dues) - time.monotonic()))
        return timeout

    def _should_end(self) -> bool:
        with self._lock:
            queue = self.dispatcher.queue
            if self._ending:
                queue.drop_cancelled()
            # With the lock held: a submit that was let in before this has put its task in, or is refused.
            queue.closed = queue.broken is not None or (self._ending and queue.idle)
            return queue.closed

    # --- starting -------------------------------------------------------------------------------------

    def _start_due(self) -> None:
        now = time.monotonic()
        with self._lock:
            due = [
                slot
                for slot in self.dispatcher.slots
                if slot.state is SlotState.WAITING and slot.due <= now and not slot.retiring
            ]
        # Those with neighbouring numbers are one launch: one array job on a cluster.
        due.sort(key=lambda slot: slot.index)
        while due:
            group = [due.pop(0)]
            while due and due[0].index == group[-1].index + 1:
                group.append(due.pop(0))
            self._starter.start(group)

    # --- one slot -------------------------------------------------------------------------------------

    def _look_at(self, slot: WorkerSlot) -> None:
        if slot.state not in _ALIVE and slot.state is not SlotState.ENDING:
            if slot.retiring or slot.state is SlotState.GONE:
                self._remove(slot)
            return
        process = self._process(slot)
        ended = process is not None and process.state is ReplicaState.ENDED
        if slot.state is SlotState.ENDING:
            if ended:
                self._remove(slot)
            return
        if ended or slot.state is SlotState.LOST or (slot.link is not None and slot.link.error is not None):
            self._look_at_lost(slot, process, ended=ended)
        elif self.dispatcher.stopper.overdue(slot):
            self._condemn(slot)
        elif slot.retiring or self.dispatcher.is_spent(slot):
            self._retire(slot)
        elif slot.state is SlotState.STARTING:
            self._starter.find(slot)

    def _condemn(self, slot: WorkerSlot) -> None:
        """End a worker whose task does not stop; what it was to do besides goes elsewhere."""
        slot.ended_for = "a task went on after it was cancelled or its timeout had passed"
        if slot.launch is not None:
            slot.launch.cancel(slot.replica, grace=UNWIND)

    def _retire(self, slot: WorkerSlot) -> None:
        with self._lock:
            slot.retiring = True
            idle = not slot.outstanding and not slot.feeding and not slot.abandoned
        if idle:
            self._end(slot)
            self.wake()  # for another in its place

    def _process(self, slot: WorkerSlot) -> ReplicaStatus | None:
        launch = slot.launch
        if launch is None:
            return None
        if launch not in self._polled:
            self._polled[launch] = launch.poll()
        return self._polled[launch][slot.replica]

    def _ready(self, slot: WorkerSlot) -> None:
        became_ready = False
        with self._changed:
            if slot.state in {SlotState.STARTING, SlotState.SETTING_UP}:
                slot.was_ready = True
                slot.moved_at = time.monotonic()
                slot.finished = 0
                self.dispatcher.set_state(slot, SlotState.READY)
                self._changed.notify_all()
                became_ready = True
        if became_ready:
            self._log.ready(slot)
        self.dispatcher.pump()
        self.wake()

    # --- loss -----------------------------------------------------------------------------------------

    def _look_at_lost(self, slot: WorkerSlot, process: ReplicaStatus | None, *, ended: bool) -> None:
        now = time.monotonic()
        link = slot.link
        with self._lock:
            first = slot.state is not SlotState.LOST
            if first:
                self.dispatcher.set_state(slot, SlotState.LOST)
                slot.due = now + (SETTLE if ended else LOST)
            elif ended:
                slot.due = min(slot.due, now + SETTLE)
            waiting = link is not None and link.batches > 0
            overdue = now >= slot.due
        if not ended and not overdue:
            if first and slot.launch is not None:
                # It cannot be reached, so nobody will ever learn what it does: make sure that it ends.
                slot.ended_for = f"it could not be reached: {link.error if link is not None else None}"
                slot.launch.cancel(slot.replica, grace=1.0)
            return
        if waiting and not overdue:
            return
        self._bury(slot, process)

    def _bury(self, slot: WorkerSlot, process: ReplicaStatus | None) -> None:
        """Give the tasks of a lost worker to others, and its slot another worker."""
        link = slot.link
        loss = Loss.of(slot, process)
        with self._lock:
            slot.link = None
            again = loss.take_tasks(self.dispatcher)
        if link is not None:
            link.close()
        loss.reject_killer(self.dispatcher.queue)
        self._died(slot, loss.how, explained=loss.explained)
        self.dispatcher.queue.requeue(again)
        self.dispatcher.pump()

    def _died(self, slot: WorkerSlot, how: str, *, explained: bool) -> None:
        """The slot's worker is no more: start another, unless it died too often for no visible reason."""
        config = self._config
        give_up = False
        delay = 0.0
        with self._changed:
            self.dispatcher.queue.failures.append(
                Failure(time.time(), slot.name, None, how.partition("\n")[0])
            )
            slot.streak = slot.streak if explained else slot.streak + 1
            slot.due = 0.0
            if slot.retiring:
                self.dispatcher.set_state(slot, SlotState.GONE)
            elif slot.streak > config.max_restarts:
                self.dispatcher.set_state(slot, SlotState.FAILED)
                staying = [each for each in self.dispatcher.slots if not each.retiring]
                give_up = all(each.state is SlotState.FAILED for each in staying)
            else:
                slot.restarts += 1
                delay = 0.0 if explained else config.restart_backoff.delay(slot.streak - 1)
                slot.due = time.monotonic() + delay
                self.dispatcher.set_state(slot, SlotState.WAITING)
            self._changed.notify_all()
        self._log.died(slot, how, delay)
        if give_up:
            tries = f", {slot.streak} times in a row" if slot.streak > 1 else ""
            self.dispatcher.break_down(f"no worker can be started any more{tries}: {slot.name} {how}")
        self.wake()

    # --- ending ---------------------------------------------------------------------------------------

    def _end(self, slot: WorkerSlot) -> None:
        with self._lock:
            self.dispatcher.set_state(slot, SlotState.ENDING)
            slot.due = 0.0
            link, slot.link = slot.link, None
        if link is not None:
            link.close()
        if slot.launch is not None:
            grace = 0.0 if self._killed else self._config.shutdown_grace
            slot.launch.cancel(slot.replica, grace=grace)

    def _remove(self, slot: WorkerSlot) -> None:
        if slot.unsubscribe is not None:
            slot.unsubscribe()
            slot.unsubscribe = None
        with self._changed:
            self.dispatcher.set_state(slot, SlotState.GONE)
            if slot in self.dispatcher.slots:
                self.dispatcher.slots.remove(slot)
            self._changed.notify_all()

    def _end_workers(self) -> bool:
        """End those that run; whether all are gone."""
        for slot in list(self.dispatcher.slots):
            with self._lock:
                slot.retiring = True
            if slot.state in _ALIVE or (slot.state is SlotState.ENDING and self._killed):
                self._end(slot)
            self._look_at(slot)
        return not self.dispatcher.slots
