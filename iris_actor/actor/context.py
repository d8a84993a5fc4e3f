"""CallContext: what a running method can ask about the call it serves, and what its own calls inherit."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Protocol

from iris_actor.deadline import Deadline
from iris_actor.rpc.incoming_call import Caller
from iris_actor.rpc.watched import Watcher

_current: ContextVar[CallContext | None] = ContextVar("iris_call", default=None)

trace_context: ContextVar[Mapping[str, str] | None] = ContextVar("iris_trace_context", default=None)
"""Strings (``traceparent`` and the like) that travel with each call made in this context, and on through
the calls that those make in turn."""


class ServedCall(Protocol):
    """What a context tells of: an `IncomingCall`, or a task of a WorkerPool."""

    @property
    def method(self) -> str: ...
    @property
    def caller(self) -> Caller: ...
    @property
    def deadline(self) -> Deadline | None: ...
    @property
    def cancelled(self) -> bool: ...
    @property
    def chain(self) -> tuple[str, ...]: ...
    @property
    def uid(self) -> str: ...
    @property
    def trace(self) -> Mapping[str, str] | None: ...
    @property
    def loop(self) -> asyncio.AbstractEventLoop | None: ...
    def watch(self, watcher: Watcher) -> None: ...
    def unwatch(self, watcher: Watcher) -> None: ...


class CallContext:
    """The call, or the task, that the current code serves. Thread-safe, valid for as long as that runs.

    In a task of a `WorkerPool` the method is the task's function, the actor is its worker, and the deadline
    is that of the task's timeout.
    """

    __slots__ = ("_call", "actor_id", "actor_name")

    def __init__(self, call: ServedCall, actor_name: str, actor_id: str) -> None:
        self._call = call
        self.actor_name = actor_name
        self.actor_id = actor_id

    @property
    def method(self) -> str:
        """Name of the method that was called."""
        return self._call.method

    @property
    def caller(self) -> Caller:
        """Who calls: host and process id, as the caller states them."""
        return self._call.caller

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the result any more: cancelled, or past the deadline."""
        deadline = self._call.deadline
        return self._call.cancelled or (deadline is not None and deadline.passed)

    @property
    def deadline(self) -> Deadline | None:
        """Until when the caller waits; None for ever."""
        return self._call.deadline

    def time_remaining(self) -> float:
        """Seconds until the deadline, never negative; `math.inf` without one."""
        deadline = self._call.deadline
        return math.inf if deadline is None else deadline.remaining

    @property
    def trace(self) -> Mapping[str, str]:
        """The caller's trace context."""
        return self._call.trace or {}

    @property
    def chain(self) -> tuple[str, ...]:
        """Uids of the calls that wait for this one, outermost first, and its own."""
        return (*self._call.chain, self._call.uid)

    def ends_calls(self) -> ServedCall | None:
        """The call, or task, with which those end that are made here; None where asyncio sees to that.

        An async method's own loop cancels its task, and that cancels what it awaits: by asyncio's rules, by
        which a call that tidies up may be awaited after that, or shielded from it.
        """
        call = self._call
        # get_running_loop raises where there is none, which costs more.
        return call if call.loop is None or call.loop is not asyncio._get_running_loop() else None  # noqa: SLF001


def current_call() -> CallContext | None:
    """The context of the call that this code serves; None outside one."""
    return _current.get()


def call_context() -> CallContext:
    """The context of the call that this code serves.

    Raises:
        RuntimeError: outside an actor's method and outside a task.
    """
    context = _current.get()
    if context is None:
        raise RuntimeError("call_context() outside an actor's method or a task: no call is being served here")
    return context
