"""Workforce: the processes of a pool, as its engine's thread sees them.

::

    Start ─▶ source.start ─▶ process ─▶ source.find ─▶ link ─▶ initializer ─▶ Ready ─▶ Lost ─┐
                                                                          └─▶ End ─▶ Removed ─┴─▶ forgotten
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any

from iris_actor import codec
from iris_actor.work.launch.launcher import Launch, ReplicaState, ReplicaStatus, is_final
from iris_actor.work.pool.config import WorkerPoolConfig
from iris_actor.work.pool.decisions import Decisions
from iris_actor.work.pool.monitor.pool_log import PoolLog
from iris_actor.work.pool.outcome_receiver import MAX_BY_VALUE
from iris_actor.work.pool.payload.functions import Functions
from iris_actor.work.pool.payload.task import Task
from iris_actor.work.pool.scheduler.actions import End, EndReason, GiveUp, Lost, Ready, Removed, Start
from iris_actor.work.pool.scheduler.rules import Rules
from iris_actor.work.pool.scheduler.scheduler import Scheduler
from iris_actor.work.pool.scheduler.timeouts import Seen
from iris_actor.work.pool.sender import Sender
from iris_actor.work.pool.settler import Settler, one_line
from iris_actor.work.pool.workers.loss import describe_loss, lost_error
from iris_actor.work.pool.workers.worker_link import WorkerLink
from iris_actor.work.pool.workers.worker_process import WorkerProcess
from iris_actor.work.pool.workers.worker_source import WorkerSource
from iris_actor.work.process.flight_recorder import Recording
from iris_actor.work.worker.task_wire import Kind, OutcomeMessage, unpack


class Workforce:
    """The processes of one pool. For the engine's thread, but for `get`, `link_of` and the initializer's end.

    Args:
        name: the pool's name.
        config: the pool's configuration.
        rules: by which its scheduler decides.
        decisions: of the engine.
        functions: of the pool.
        sender: knows the workers that there are.
        settler: ends tasks that a worker died of too often, and keeps the latest failures.
    """

    def __init__(
        self,
        name: str,
        config: WorkerPoolConfig,
        rules: Rules,
        decisions: Decisions,
        *,
        functions: Functions,
        sender: Sender,
        settler: Settler,
    ) -> None:
        self._config = config
        self._rules = rules
        self._decisions = decisions
        self._functions = functions
        self._sender = sender
        self._settler = settler
        self._log = PoolLog(name)
        self._source: WorkerSource | None = None
        self._processes: dict[int, WorkerProcess] = {}
        self._polled: dict[Launch, tuple[ReplicaStatus, ...]] = {}
        self._has_started_any = False
        self._why_given_up = ""

    def open(self, source: WorkerSource) -> None:
        """Workers come from `source`."""
        self._source = source

    @property
    def is_open(self) -> bool:
        """Whether it is known where workers come from."""
        return self._source is not None

    @property
    def source(self) -> WorkerSource:
        """Where workers come from."""
        if self._source is None:
            raise RuntimeError("the workforce has not been opened")
        return self._source

    def get(self, number: int) -> WorkerProcess | None:
        """The process of that number; None when it is forgotten. Any thread."""
        return self._processes.get(number)

    def link_of(self, number: int) -> WorkerLink | None:
        """The way to the process of that number; None without one. Any thread."""
        process = self._processes.get(number)
        return None if process is None else process.link

    def recordings(self, numbers: Iterable[int]) -> Seen:
        """What the flight recorders of these processes say."""
        return {
            number: process.recording
            for number in numbers
            if (process := self._processes.get(number)) is not None
        }

    # --- looking --------------------------------------------------------------------------------------

    def look(self) -> None:
        """Tell the scheduler which processes run, have ended, or have announced themselves."""
        self._polled.clear()
        for number, process in list(self._processes.items()):
            status = self._status_of(process)
            if status is not None and status.state is ReplicaState.ENDED:
                blameless = status.cause is not None and status.cause.is_the_engines
                self._decisions.tell(partial(_ended, number, process.last_recording, blameless))
            elif process.link is None and not process.ending:
                queued = status is not None and status.state is ReplicaState.PENDING
                self._decisions.tell(partial(_queued if queued else _running, number))
                self._find(process)

    def _status_of(self, process: WorkerProcess) -> ReplicaStatus | None:
        launch = process.launch
        if launch is None:
            return None
        if launch not in self._polled:
            self._polled[launch] = launch.poll()
        return self._polled[launch][process.replica]

    def _find(self, process: WorkerProcess) -> None:
        source = self.source
        link = source.find(process)
        if link is None:
            return
        process.link = link
        self._sender.add(process)
        number, initialize = process.number, source.initializes
        self._decisions.tell(lambda scheduler, now: scheduler.found(number, now, initialize=initialize))
        if initialize:
            self._set_up(process)

    # --- actions --------------------------------------------------------------------------------------

    def do(self, action: Start | End | Ready | Lost[Task] | GiveUp | Removed) -> None:
        """Carry out an action of the scheduler's that concerns processes."""
        match action:
            case Start():
                self._start(action)
            case End(number, reason):
                self._end(number, reason)
            case Ready(number):
                process = self._processes.get(number)
                if process is not None:
                    self._log.ready(process)
            case Lost():
                self._on_lost(action)
            case GiveUp():
                self._decisions.break_down(f"no worker can be started any more{self._why_given_up}")
            case Removed(index, number, left):
                if left:
                    self._on_left(number)
                self._forget(number)
                self.source.forget(index)

    def _start(self, start: Start) -> None:
        numbers = start.processes
        try:
            processes = self.source.start(start.first, numbers)
        except OSError as error:
            if is_final(error) and not self._has_started_any:
                self._decisions.break_down(f"no worker can be started: {error}", error)
                self._decisions.ask(lambda scheduler, now: scheduler.not_launched(numbers, now))
                return
            for offset, number in enumerate(numbers):
                process = self._processes[number] = WorkerProcess(number, start.first + offset)
                process.error = error
            self._decisions.tell(lambda scheduler, now: scheduler.not_launched(numbers, now))
            return
        self._has_started_any = True
        self._processes.update((process.number, process) for process in processes)

    def _set_up(self, process: WorkerProcess) -> None:
        try:
            self.source.set_up(process, partial(self._on_set_up, process))
        except BaseException as error:  # code of the user's; when the pool was made, it pickled
            self._decisions.break_down(f"the initializer does not pickle: {one_line(error)}", error)

    def _on_set_up(self, process: WorkerProcess, call: Future[Any]) -> None:
        try:
            messages, _ = call.result()
            outcome = OutcomeMessage(*messages[0])
        except BaseException as error:
            self._decisions.link_failed(process.number, error)
            return
        if outcome.kind == Kind.VALUE:
            self._decisions.tell(lambda scheduler, now: scheduler.set_up(process.number, now))
            return
        missing = outcome.missing if process.by_value < MAX_BY_VALUE else None
        if missing and self._functions.send_by_value(missing):
            process.by_value += 1
            self._set_up(process)
            return
        raised = codec.load_exception(unpack(outcome.packed))
        text = codec.exception_text(raised.__cause__ or raised).strip().strip('"').strip()
        self._decisions.break_down(f"the initializer failed in {process.name}:\n{text}", raised)

    def _end(self, number: int, reason: EndReason) -> None:
        process = self._processes.get(number)
        if process is None:
            return
        if reason in {EndReason.RETIRED, EndReason.KILLED}:
            process.ending = True
            process.close_link()
            self._sender.discard(number)
        elif reason is EndReason.UNREACHABLE:
            process.ended_for = f"{reason.value}: {process.error}"
        else:
            process.ended_for = reason.value
        process.cancel(self._rules.grace(reason))

    def _on_lost(self, lost: Lost[Task]) -> None:
        process = self._processes[lost.process]
        status = self._status_of(process)
        words = process.last_words
        how = describe_loss(process, status, words, lost, self._config)
        self._forget(process.number)
        if lost.killer is not None:
            error = lost_error(process, status, words, lost.killer)
            self._settler.reject(lost.killer, error, process.name)
            self._decisions.settled(process.number, 1)
        self._settler.worker_died(process.name, how)
        self._log.died(process.name, how, lost)
        if lost.given_up:
            tries = f", {lost.streak} times in a row" if lost.streak > 1 else ""
            self._why_given_up = f"{tries}: {process.name} {how}"

    def _on_left(self, number: int) -> None:
        process = self._processes.get(number)
        if process is not None and process.launch is not None:
            self._log.left(process.name, process.launch.ref, process.status)

    def _forget(self, number: int) -> None:
        self._sender.discard(number)
        process = self._processes.pop(number, None)
        if process is not None:
            process.close_link()

    # --- the end --------------------------------------------------------------------------------------

    def abandon(self) -> None:
        """End all processes at once; nobody will look at them again."""
        for process in self._processes.values():
            process.cancel(0.0)
            process.close_link()

    def close(self) -> None:
        """All workers have ended."""
        if self._source is not None:
            self._source.close()


def _ended(
    number: int, recording: Recording | None, is_blameless: bool, scheduler: Scheduler[Task], now: float
) -> None:
    scheduler.ended(number, recording, now, is_blameless=is_blameless)


def _queued(number: int, scheduler: Scheduler[Task], now: float) -> None:
    scheduler.queued(number, now)


def _running(number: int, scheduler: Scheduler[Task], now: float) -> None:
    scheduler.running(number, now)
