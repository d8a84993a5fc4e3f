"""HostedActor: one object that a server hosts, and the running of its calls.

::

    I/O thread ─ take(call) ─► Group ─► a thread (plain methods, generators)
                                  └───► the actor's event loop (async methods, async generators)

Whoever finishes a task gets the next one of its group and runs it in place, so a busy serial actor
costs no hand-over between calls.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from functools import partial
from typing import Any
from weakref import WeakSet

from iris_actor.actor.actor_loop import ActorLoop
from iris_actor.actor.context import CallContext, _current, trace_context
from iris_actor.actor.group import Group, Task
from iris_actor.actor.method import DEFAULT_GROUP, Kind, Method, find_method, public_names
from iris_actor.actor.threads import Threads
from iris_actor.codec import exception_text
from iris_actor.errors import SerializationError
from iris_actor.forked_child import leave
from iris_actor.registry.endpoint import ActorId
from iris_actor.rpc.incoming_call import IncomingCall
from iris_actor.rpc.outgoing_call import Status


class HostedActor:
    """One hosted object.

    Args:
        name: full name, namespace included.
        actor_id: id of this instance.
        actor: the object.
        max_concurrency: calls at a time in the default group.
        concurrency_groups: calls at a time in other groups.
        loop: event loop for its async methods; None gives it one of its own.
    """

    def __init__(
        self,
        name: str,
        actor_id: ActorId,
        actor: Any,
        *,
        max_concurrency: int,
        concurrency_groups: Mapping[str, int],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.name = name
        self.actor_id = actor_id
        self.actor = actor
        limits = {DEFAULT_GROUP: max_concurrency, **concurrency_groups}
        self._groups = {group: Group(group, limit) for group, limit in limits.items()}
        self._methods: dict[str, Method] = {}
        for method_name in public_names(actor):
            found = find_method(actor, method_name)
            if isinstance(found, Method) and found.group not in self._groups:
                self._groups[found.group] = Group(found.group, 1)
        short = name.rsplit("/", 1)[-1]
        self._threads = Threads(short, sum(group.limit for group in self._groups.values()))
        self._loop = ActorLoop(short, loop)
        self._on_loop: set[asyncio.Task[None]] = set()
        self._closed = False
        self._forked = False  # whether this is a child that a method forked
        _hosted.add(self)

    def take(self, call: IncomingCall) -> None:
        """Queue or start a call. In the I/O thread."""
        method = self._methods.get(call.method)
        if method is None:
            found = find_method(self.actor, call.method)
            if isinstance(found, str):
                call.send_failure(Status.METHOD_NOT_FOUND, found, may_have_run=False)
                return
            method = self._methods[call.method] = found
        if self._closed:
            call.send_failure(Status.ACTOR_NOT_FOUND, "the actor was unregistered", may_have_run=False)
            return
        task = Task(call, method)
        try:
            admitted = self._groups[method.group].admit(task)
        except RecursionError:
            message = (
                f"the call chain came back to {self.name}, which is busy with it; raise max_concurrency,"
                f" or put {method.name} into a concurrency group of its own"
            )
            call.send_failure(Status.REENTRANT, message, may_have_run=False)
            return
        if admitted:
            self._start(task)

    def _start(self, task: Task) -> None:
        if task.method.on_loop:
            self._loop.call_soon(partial(self._start_on_loop, task))
        else:
            self._threads.submit(self._run_from, task)

    # --- plain methods, in a thread -----------------------------------------------------------------

    def _run_from(self, task: Task | None) -> None:
        while task is not None:
            if task.method.on_loop:
                self._start(task)
                return
            if self._wanted(task.call):
                token = _current.set(CallContext(task.call, self.name, self.actor_id))
                trace = trace_context.set(task.call.trace)
                try:
                    self._run_plain(task.call, task.method)
                except BaseException as error:  # its outcome could not be sent
                    _unsent(task.call, error)
                finally:
                    trace_context.reset(trace)
                    _current.reset(token)
            task = self._groups[task.method.group].finished(task)

    def _run_plain(self, call: IncomingCall, method: Method) -> None:
        try:
            args, kwargs = call.take_arguments()
        except SerializationError as error:
            call.send_failure(Status.SERIALIZATION, f"its arguments: {error}", may_have_run=False)
            return
        try:
            result = method.function(*args, **kwargs)
            del args, kwargs
            if call.wants_stream:
                self._stream(call, method, result)
                result = None
            elif method.kind is Kind.GENERATOR:
                raise _not_a_call(method)  # noqa: TRY301 - reported like the method's own errors
        except BaseException as error:
            if self._forked:
                leave(error)
            call.send_exception(error, skip=error.__traceback__)
        else:
            if self._forked:
                leave()
            # With more to do the I/O thread sends it, together with what follows.
            call.eager = not self._groups[method.group].waiting
            call.send_result(result)

    @staticmethod
    def _stream(call: Any, method: Method, result: Any) -> None:
        if not isinstance(result, Iterable):
            raise TypeError(f"{method.name} returned {type(result).__name__}, which is no stream of items")
        iterator = iter(result)
        try:
            while call.wait_credit():
                try:
                    item = next(iterator)
                except StopIteration:
                    return
                if not call.send_item(item):
                    return
            if not call.cancelled:
                _late(call)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    # --- async methods, on the actor's loop -----------------------------------------------------------

    def _start_on_loop(self, task: Task) -> None:
        running = asyncio.get_running_loop().create_task(self._run_async(task))
        self._on_loop.add(running)
        running.add_done_callback(partial(self._finished_on_loop, task))

    def _finished_on_loop(self, task: Task, running: asyncio.Task[None]) -> None:
        self._on_loop.discard(running)
        error = None if running.cancelled() else running.exception()
        if error is not None:  # its outcome could not be sent
            _unsent(task.call, error)
        if self._closed and not self._on_loop:
            self._loop.close()
        following = self._groups[task.method.group].finished(task)
        if following is not None:
            self._start(following)

    async def _run_async(self, task: Task) -> None:
        call, method = task
        if not self._wanted(call):
            return
        _current.set(CallContext(call, self.name, self.actor_id))
        trace_context.set(call.trace)
        try:
            args, kwargs = call.take_arguments()
        except SerializationError as error:
            call.send_failure(Status.SERIALIZATION, f"its arguments: {error}", may_have_run=False)
            return
        loop = asyncio.get_running_loop()
        me = asyncio.current_task()
        assert me is not None  # noqa: S101 - a coroutine runs in a task
        call.on_cancel = partial(self._loop.call_soon, partial(_cancel, me))
        if call.cancelled:
            return
        deadline = call.deadline
        timer = loop.call_later(deadline.remaining, me.cancel) if deadline is not None else None
        try:
            result = method.function(*args, **kwargs)
            del args, kwargs
            if method.kind is Kind.ASYNC:
                result = await result
            if call.wants_stream:
                await self._stream_async(call, method, result)
                result = None
            elif method.kind is Kind.ASYNC_GENERATOR:
                raise _not_a_call(method)  # noqa: TRY301 - reported like the method's own errors
        except asyncio.CancelledError:
            if deadline is not None and deadline.passed:
                _late(call)
            else:
                call.send_failure(Status.CANCELLED, "the method was cancelled", may_have_run=True)
        except BaseException as error:
            if self._forked:
                leave(error)
            call.send_exception(error, skip=error.__traceback__)
        else:
            if self._forked:
                leave()
            call.send_result(result)
        finally:
            call.on_cancel = None
            if timer is not None:
                timer.cancel()

    @staticmethod
    async def _stream_async(call: Any, method: Method, result: Any) -> None:
        if not isinstance(result, AsyncIterable | Iterable):
            raise TypeError(f"{method.name} returned {type(result).__name__}, which is no stream of items")
        items = result.__aiter__() if isinstance(result, AsyncIterable) else _as_async(result)
        try:
            while await call.wait_credit_async():
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
                if not call.send_item(item):
                    return
            if not call.cancelled:
                _late(call)
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()

    # --- both -----------------------------------------------------------------------------------------

    @staticmethod
    def _wanted(call: IncomingCall) -> bool:
        if call.cancelled:
            return False
        if call.deadline is not None and call.deadline.passed:
            call.send_failure(
                Status.DEADLINE_EXCEEDED, "the deadline passed before its turn came", may_have_run=False
            )
            return False
        return True

    def describe(self) -> list[tuple[Method, str, str]]:
        """Each public method with its signature and docstring."""
        described = []
        for name in public_names(self.actor):
            found = find_method(self.actor, name)
            if isinstance(found, Method):
                described.append((found, _signature(found.function), inspect.getdoc(found.function) or ""))
        return described

    def close(self, *, abort: bool) -> None:
        """Refuse what waits, and end the threads and the loop: at once with `abort`, else as calls end.

        Idempotent. Plain methods cannot be aborted.
        """
        self._closed = True
        for group in self._groups.values():
            for task in group.clear():
                task.call.send_failure(
                    Status.ACTOR_NOT_FOUND, "the actor was unregistered", may_have_run=False
                )
        self._threads.close()
        if abort or not self._on_loop:
            self._loop.close()
        self._threads.join(0.2)


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


def _late(call: IncomingCall) -> None:
    call.send_failure(Status.DEADLINE_EXCEEDED, "the deadline passed while it ran", may_have_run=True)


def _signature(function: Callable[..., Any]) -> str:
    try:
        return str(inspect.signature(function, eval_str=True))
    except Exception:  # noqa: S110 - annotations may name what only a type checker imports
        pass
    try:
        return str(inspect.signature(function))
    except (ValueError, TypeError):  # some builtins have none
        return "(...)"


def _unsent(call: IncomingCall, error: BaseException) -> None:
    message = f"its outcome could not be sent: {type(error).__name__}: {exception_text(error)}"
    call.send_failure(Status.SERIALIZATION, message, may_have_run=True)


def _not_a_call(method: Method) -> TypeError:
    return TypeError(f"{method.name} is a generator: call it as pool.stream().{method.name}(...)")


_hosted: WeakSet[HostedActor] = WeakSet()


def _after_fork_in_child() -> None:
    # The thread, or the loop, of the method that forked would go on here, and wait for calls for ever.
    for hosted in list(_hosted):
        hosted._forked = True


os.register_at_fork(after_in_child=_after_fork_in_child)


async def _as_async(items: Iterable[Any]) -> Any:
    for item in items:
        yield item
