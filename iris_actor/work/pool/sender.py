"""Sender: pickles the tasks of a batch and sends them to their worker."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from typing import Any

from iris_actor.work.pool.decisions import Decisions
from iris_actor.work.pool.outcome_receiver import OutcomeReceiver
from iris_actor.work.pool.payload.driver_settings import current_settings
from iris_actor.work.pool.payload.functions import Functions
from iris_actor.work.pool.payload.shared import Shared
from iris_actor.work.pool.payload.task import Task
from iris_actor.work.pool.scheduler.actions import Send
from iris_actor.work.pool.settler import Settler
from iris_actor.work.pool.workers.worker_link import WorkerLink
from iris_actor.work.pool.workers.worker_process import WorkerProcess
from iris_actor.work.worker.task_wire import DefinitionMessage, does_not_pickle, pack

BATCH_BYTES = 4 * 1024 * 1024
"""Bytes of arguments that a batch may have; a larger task travels alone."""


class Sender:
    """Sends batches to the workers of one pool. Thread-safe, with one batch of a worker at a time.

    Args:
        functions: of the pool.
        decisions: of its engine.
        settler: ends tasks that do not pickle.
        receiver: takes what workers answer.
    """

    def __init__(
        self, functions: Functions, decisions: Decisions, settler: Settler, receiver: OutcomeReceiver
    ) -> None:
        self._functions = functions
        self._decisions = decisions
        self._settler = settler
        self._receiver = receiver
        # Guards the processes, and what their links know of forgotten definitions.
        self._lock = threading.Lock()
        self._processes: dict[int, WorkerProcess] = {}

    def add(self, process: WorkerProcess) -> None:
        """A worker can be reached."""
        with self._lock:
            self._processes[process.number] = process

    def discard(self, number: int) -> None:
        """A worker is gone."""
        with self._lock:
            self._processes.pop(number, None)

    def renewed(self, numbers: Iterable[int]) -> None:
        """Workers must get these definitions anew."""
        numbers = tuple(numbers)
        with self._lock:
            for link in self._links():
                link.known.difference_update(numbers)

    def _links(self) -> list[WorkerLink]:
        return [link for process in self._processes.values() if (link := process.link) is not None]

    def send(self, send: Send[Task]) -> tuple[list[Task], bool]:
        """Send a batch.

        Returns:
            The tasks that found no place in the message, and whether nothing was sent.
        """
        process = self._processes.get(send.process)
        link = None if process is None else process.link
        if process is None or link is None:
            return [], True
        tasks = send.tasks
        messages: list[Any] = []
        definitions: list[Any] = []
        size = 0
        unsent: list[Task] = []
        for number, task in enumerate(tasks):
            try:
                message, nbytes = task.message()
            except BaseException as error:  # code of the user's; this is not the main thread
                self._spoiled(send.process, task, does_not_pickle(error))
                continue
            missing = task.missing(link.known)
            if missing:
                nbytes += sum(each.body.nbytes for each in missing if each.body is not None)
            if messages and size + nbytes > BATCH_BYTES:
                unsent = tasks[number:]
                break
            for each in missing:
                if each.body is not None:
                    link.known.add(each.id)
                    frozen = isinstance(each, Shared)
                    definitions.append(tuple(DefinitionMessage(each.id, pack(each.body), frozen)))
            size += nbytes
            messages.append(message)
        if not messages:
            return unsent, True
        settings = current_settings()
        if definitions or link.settings is not settings:
            self._decisions.ask(lambda scheduler, _: scheduler.defines(send.process, send.batch))
        seqs = [message[0] for message in messages]
        reply = partial(self._receiver.on_reply, process, send.batch, seqs)
        link.run(send.batch, definitions, self._to_forget(link), messages, settings, reply)
        return unsent, False

    def _spoiled(self, process: int, task: Task, error: BaseException) -> None:
        if self._decisions.ask(lambda scheduler, _: scheduler.spoiled(process, task.seq)) is not None:
            self._settler.reject(task, error)
            self._decisions.settled(process, 1)

    def _to_forget(self, link: WorkerLink) -> list[int]:
        """Definitions that the worker may drop, because no task will refer to them again."""
        forgotten = self._functions.definitions.forgotten
        if forgotten:
            with self._lock:
                while forgotten:
                    number = forgotten.popleft()
                    for each in self._links():
                        if number in each.known:
                            each.known.discard(number)
                            each.to_forget.append(number)
        numbers, link.to_forget = link.to_forget, []
        return numbers
