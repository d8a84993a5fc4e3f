"""TaskRunner: runs tasks one after the other in the worker's main thread.

::

    event loop of the ActorServer            main thread
    run(batch) ── deque ─────────────────▶  rebuild, call, pickle the result
    collect(batch) ◀── outcomes ───────────  (wakes the loop once per batch, or per outcome of slow tasks)

The main thread, because it is where signal handlers, GUI toolkits, asyncio's child watchers and many C
libraries expect to be, and because a task's own ``threading`` and ``asyncio.run`` work there as in a script.
A plain thread of the ActorServer would have none of that.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

from iris_actor import codec
from iris_actor.actor.context import CallContext, _current, trace_context
from iris_actor.codec import Body
from iris_actor.deadline import Deadline
from iris_actor.errors import SerializationError
from iris_actor.forked_child import leave
from iris_actor.rpc.buffers import own
from iris_actor.rpc.incoming_call import Caller
from iris_actor.rpc.io_thread import io_thread
from iris_actor.threads.after_fork import ForkStage, at_fork
from iris_actor.work.process import memory_limit
from iris_actor.work.process.flight_recorder import RecorderPen
from iris_actor.work.worker import worker_settings
from iris_actor.work.worker.place import Place
from iris_actor.work.worker.shared_objects import rebuild_with
from iris_actor.work.worker.task_call import TaskCall
from iris_actor.work.worker.task_wire import (
    INITIALIZER,
    DefinitionMessage,
    Kind,
    Packed,
    TaskMessage,
    does_not_pickle,
    does_not_rebuild,
    is_plain,
    pack,
    unpack,
    unpack_value,
)
from iris_actor.work.worker.unfinished import why_unfinished

GRACE = 0.005
"""Seconds for which finished tasks of a batch wait for the rest of it, so that they travel together."""

NOTABLE = 0.001
"""Seconds of rebuilding from which it matters, without a timeout, that a task began later than it came up."""


class Batch:
    """Tasks that came together, and their outcomes until they are collected.

    `finished` is written by the main thread only, `withdrawn` by the event loop only.
    """

    __slots__ = ("_eager", "_loop", "_waiter", "caller", "finished", "outcomes", "size", "withdrawn")

    def __init__(self, size: int, loop: asyncio.AbstractEventLoop, caller: Caller) -> None:
        self.size = size
        self.caller = caller
        self.finished = 0
        self.withdrawn = 0
        self.outcomes: deque[tuple[Any, ...]] = deque()
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._eager = False

    @property
    def complete(self) -> bool:
        """Whether no task of it is waiting or running."""
        return self.finished + self.withdrawn >= self.size

    def add(self, outcome: tuple[Any, ...]) -> None:
        """A task finished. Called in the main thread."""
        self.outcomes.append(outcome)
        self.finished += 1
        if self._eager or self.complete:
            try:
                self._loop.call_soon_threadsafe(self.wake)
            except RuntimeError:  # the server is gone; so is whoever would collect
                return

    def wake(self) -> None:
        """Have `collect` look again. Called in the event loop."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, most: float | None, *, eager: bool) -> None:
        # The flag is up before the look, and the outcome is down before the main thread looks at the flag.
        self._eager = eager
        if self.complete or (eager and self.outcomes):
            return
        self._waiter = self._loop.create_future()
        handle = None if most is None else self._loop.call_later(most, self.wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if handle is not None:
                handle.cancel()

    async def collect(self) -> tuple[list[tuple[Any, ...]], bool]:
        """Outcomes that nobody collected yet, at least one unless complete, and whether that is all."""
        await self._wait(GRACE, eager=False)
        while not (self.outcomes or self.complete):
            await self._wait(None, eager=True)
        complete = self.complete
        taken = []
        while self.outcomes:
            taken.append(self.outcomes.popleft())
        return taken, complete


class TaskRunner:
    """The queue of tasks, and the loop that runs them."""

    def __init__(self, pen: RecorderPen) -> None:
        self._pen = pen
        self.actor_name = ""  # what tasks see in their context
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: deque[tuple[Batch, TaskMessage]] = deque()
        # Wakes `run`. Unlike an Event, a SimpleQueue may be used by a signal's handler.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._defined: dict[int, Any] = {}
        self._told: set[int] = set()
        self._call: TaskCall | None = None  # of the last task that began
        self._place = Place()
        self._stopping = False
        self.busy = False  # whether a task's own code may be running
        self._forked = False  # whether this is a child that a task forked
        at_fork(ForkStage.HELD, in_child=self._after_fork_in_child)

    def _after_fork_in_child(self) -> None:
        self._forked = True

    def add(
        self,
        definitions: Sequence[Any],
        forgotten: Sequence[int],
        tasks: Sequence[Any],
        settings: Sequence[Any] | None,
        caller: Caller,
    ) -> Batch:
        """Queue tasks; see `Worker.run`. Called in the event loop.

        Definitions are rebuilt by the main thread, which also takes over the settings: both may run code of
        the user's.
        """
        self._loop = asyncio.get_running_loop()
        batch = Batch(len(tasks), self._loop, caller)
        for number in forgotten:
            self._defined.pop(number, None)
        if definitions or settings is not None:
            first = tasks[0][0]
            prelude: Any = (definitions, settings)
            self._queue.append((batch, TaskMessage(0, first, prelude, spread=False)))
        self._queue.extend((batch, TaskMessage(*task)) for task in tasks)
        self._wake.put(None)
        return batch

    def withdraw(self, only: int | None = None) -> list[int]:
        """Give tasks back that have not started, all or `only` one. Called in the event loop."""
        kept: list[tuple[Batch, TaskMessage]] = []
        taken = []
        while True:
            try:
                batch, task = self._queue.pop()
            except IndexError:
                break
            # A definition stays: later tasks count on it.
            if task.seq == 0 or only not in {None, task.seq}:
                kept.append((batch, task))
                continue
            batch.withdrawn += 1
            taken.append(task.seq)
            if batch.complete:
                batch.wake()
        self._queue.extend(reversed(kept))
        self._wake.put(None)
        return taken

    def tell_to_stop(self, seq: int, *, drop: bool) -> bool:
        """Have a task's `call_context()` say that it is cancelled, and end the calls that it waits for.

        See `Worker.stop`. In the event loop.
        """
        self._told.add(seq)
        call = self._call
        if call is not None and call.seq == seq:
            io_thread().call_soon(call.tell_watchers)
        return drop and bool(self.withdraw(seq))

    def stop(self) -> None:
        """Have `run` return, after the task that is running. Any thread, also a signal handler."""
        self._stopping = True
        self._wake.put(None)

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    def run(self) -> None:
        """Run tasks until `stop`. For the main thread."""
        rebuild_with(self._fetch)
        while not self._stopping:
            try:
                batch, task = self._queue.popleft()
            except IndexError:
                # With a timeout: a signal that comes just before the wait blocks does not interrupt it.
                with suppress(Empty):
                    self._wake.get(timeout=0.5)
                self._check_threads()
                continue
            if task.seq == 0:
                # Should it kill the process, the first task that needs it is the one to blame.
                self._pen.write(task.function_id, time.monotonic(), begun=False)
                self.busy = True
                self._prepare(*task.packed)
            else:
                self.busy = True
                batch.add(self._run_one(task, batch.caller))
                if self._told:
                    self._told.discard(task.seq)
                if task.seq == INITIALIZER:
                    self._place = Place()
                else:
                    self._place.restore()
            self.busy = False
            # An idle worker must not keep the last task's arguments and result alive.
            del batch, task

    def _check_threads(self) -> None:
        """End the process when a thread is gone without which no task comes, and no outcome goes."""
        loop = self._loop
        if not (self._stopping or (io_thread().alive and (loop is None or loop.is_running()))):
            text = b"iris_actor: the worker ends, since a thread of its own has died (memory may be short)\n"
            os.write(2, text)
            os._exit(memory_limit.EXHAUSTED)

    def _prepare(self, definitions: Sequence[Any], settings: Sequence[Any] | None) -> None:
        if settings is not None:
            worker_settings.apply(worker_settings.Settings(*settings))
        self._define(definitions)

    def _define(self, definitions: Sequence[Any]) -> None:
        for number, packed, frozen in (DefinitionMessage(*definition) for definition in definitions):
            body = unpack(packed)
            if frozen:
                body = Body(body.data, tuple(buffer.toreadonly() for buffer in body.buffers))
            try:
                self._defined[number] = codec.loads(body)
            except SerializationError as error:
                self._defined[number] = error
            except BaseException as error:
                memory_limit.reserve.close()
                if self._stopping:
                    raise
                memory_limit.explain(error)
                self._defined[number] = does_not_rebuild(error)

    def _fetch(self, number: int) -> Any:
        """What was defined under `number`."""
        defined = self._defined[number]
        if isinstance(defined, SerializationError):
            raise defined
        return defined

    def _run_one(self, task: TaskMessage, caller: Caller) -> tuple[Any, ...]:
        started = time.monotonic()
        self._pen.write(task.seq, started, begun=False)
        try:
            function, arguments, kwargs = self._rebuild(task)
        except BaseException as error:
            memory_limit.reserve.close()
            if self._stopping:
                raise _ending(error) from None
            memory_limit.explain(error)
            missing = _missing_module(error)
            packed = _pack_error(error if isinstance(error, Exception) else does_not_rebuild(error))
            return (task.seq, int(Kind.NOT_REBUILT), packed, 0.0, missing)
        begun = time.monotonic()
        deadline = None if task.timeout is None else Deadline(begun + task.timeout)
        if deadline is not None or begun - started > NOTABLE:
            self._pen.write(task.seq, begun, begun=True)
        self._call = call = TaskCall(task.seq, function, caller, deadline, task.trace, self._told)
        served = _current.set(CallContext(call, self.actor_name, ""))
        traced = None if task.trace is None else trace_context.set(task.trace)
        try:
            if task.spread:
                value: Any = [function(*args, **kwargs) for args in arguments]
            else:
                value = function(*arguments, **kwargs)
            if self._forked:
                leave()
            del function, arguments, kwargs
            packed = (value,) if is_plain(value) else pack(own(self._dump_result(call, value, task)))
        except BaseException as error:
            if self._forked:
                leave(error)
            memory_limit.reserve.close()
            if self._stopping:
                raise _ending(error) from None
            memory_limit.explain(error)
            packed = _pack_error(error, skip=error.__traceback__)
            return self._outcome(task, Kind.RAISED, packed, started, deadline)
        finally:
            _current.reset(served)
            if traced is not None:
                trace_context.reset(traced)
        return self._outcome(task, Kind.VALUE, packed, started, deadline)

    @staticmethod
    def _outcome(
        task: TaskMessage, kind: Kind, packed: Any, started: float, deadline: Deadline | None
    ) -> tuple[Any, ...]:
        ended = time.monotonic()
        if deadline is not None and ended > deadline.at:
            # Whether the driver noticed first must not decide.
            kind, packed = Kind.LATE, (None,)
        return (task.seq, int(kind), packed, ended - started, None)

    def _dump_result(self, call: TaskCall, value: Any, task: TaskMessage) -> Body:
        try:
            return codec.dumps(value)
        except BaseException as error:
            if self._stopping:
                raise
            why = why_unfinished(call.method, value, chunk=task.spread)
            if why is not None:
                raise SerializationError(why) from None
            raise does_not_pickle(error, "the task's result") from error

    def _rebuild(self, task: TaskMessage) -> tuple[Callable[..., Any], Any, Any]:
        loaded = unpack_value(task.packed)
        if task.function_id == 0:
            return loaded  # type: ignore[no-any-return]
        return self._fetch(task.function_id), *loaded


def _ending(error: BaseException) -> BaseException:
    """What the handler of SIGTERM raised, also where it came upon the unpickling or pickling of a value."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SystemExit):
        cause = cause.__cause__
    return cause or error


def _pack_error(error: BaseException, *, skip: TracebackType | None = None) -> Packed:
    """`error` as it travels; see `codec.dump_exception`, which runs code of the exception's class."""
    try:
        return pack(codec.dump_exception(error, skip=skip))
    except BaseException as raised:
        kinds = f"{type(error).__name__} was raised, and {type(raised).__name__} while that was pickled"
        lost = SerializationError(kinds)
        return pack(codec.dump_exception(lost))


def _missing_module(error: BaseException) -> str | None:
    """Module that the driver had and this process cannot import, when that is why `error` came."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ModuleNotFoundError):
            return cause.name
        if isinstance(cause, AttributeError | pickle.UnpicklingError):
            # "Can't get attribute 'f' on <module 'm' from ...>": found by that name, but another one.
            _, found, rest = codec.exception_text(cause).partition("<module '")
            return rest.partition("'")[0] if found else None
        cause = cause.__cause__
    return None
