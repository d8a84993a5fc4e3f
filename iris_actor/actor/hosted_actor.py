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
import logging
import time
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from contextvars import Context
from functools import partial
from typing import Any
from weakref import WeakSet

from iris_actor.actor.actor_loop import ActorLoop
from iris_actor.actor.context import CallContext, _current, trace_context
from iris_actor.actor.group import Group, Task
from iris_actor.actor.method import DEFAULT_GROUP, Kind, Method, find_method, public_names
from iris_actor.actor.slow_calls import SlowCalls
from iris_actor.actor.threads import Threads
from iris_actor.codec import exception_text
from iris_actor.errors import SerializationError
from iris_actor.forked_child import leave
from iris_actor.program_exit import is_program_exit
from iris_actor.registry.endpoint import ActorId
from iris_actor.rpc.incoming_call import IncomingCall
from iris_actor.rpc.loop_queue import queue_into
from iris_actor.rpc.outgoing_call import Status
from iris_actor.rpc.unsendable import discard
from iris_actor.threads.after_fork import ForkStage, at_fork

_log = logging.getLogger(__name__)


class HostedActor:
    """One hosted object.

    Args:
        name: full name, namespace included.
        actor_id: id of this instance.
        actor: the object.
        max_concurrency: calls at a time in the default group.
        concurrency_groups: calls at a time in other groups.
        loop: event loop for its async methods; None gives it one of its own.
        slow_calls: is told of each call that ended, if it has a limit.
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
        slow_calls: SlowCalls,
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
        self._loop = ActorLoop(short, loop, self._loop_ended)
        self._slow_calls = slow_calls
        self._closed = False
        self.forked = False  # whether this is a child that a method forked
        _hosted.add(self)

    def take(self, call: IncomingCall) -> None:
        """Queue or start a call. In the I/O thread."""
        method = self._methods.get(call.method) or self._look_up(call)
        if method is None:
            return
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

    def _look_up(self, call: IncomingCall) -> Method | None:
        try:
            found = find_method(self.actor, call.method)
        except BaseException as error:  # of a descriptor or a __getattribute__ of the actor's class
            found = f"the look-up of {call.method!r} raised {_text(error)}"
        if isinstance(found, str):
            call.send_failure(Status.METHOD_NOT_FOUND, found, may_have_run=False)
            return None
        if found.group not in self._groups:  # the method was not there when the actor was registered
            self._groups[found.group] = Group(found.group, 1)
            self._threads.allow(1)
        self._methods[call.method] = found
        return found

    def _start(self, task: Task | None) -> None:
        """Have `task` run, and if that cannot be, the one after it."""
        while task is not None:
            try:
                if not task.method.on_loop:
                    self._threads.submit(self._run_from, task)
                    return
                if self._loop.start(task, partial(self._start_on_loop, task)):
                    return
                why = "the event loop of the program that hosts it does not run"
            except BaseException as error:  # there may be no more threads to be had
                why = f"it could not be started: {_text(error)}"
            _fail(task.call, Status.DRAINING, why, may_have_run=False)
            task = self._groups[task.method.group].finished(task)

    # --- plain methods, in a thread -----------------------------------------------------------------

    def _run_from(self, task: Task | None) -> None:
        while task is not None:
            if task.method.on_loop:
                self._start(task)
                return
            try:
                if self._wanted(task.call):
                    began = 0.0 if self._slow_calls.limit is None else time.monotonic()
                    Context().run(self._run_plain, task.call, task.method)
                    if began:
                        self._slow_calls.ended(task.call, began)
            except BaseException as error:
                _unsent(task.call, error)
            task = self._groups[task.method.group].finished(task)

    def _run_plain(self, call: IncomingCall, method: Method) -> None:
        self._enter(call)
        try:
            args, kwargs = call.take_arguments()
        except BaseException as error:
            _not_rebuilt(call, error)
            return
        try:
            result = method.function(*args, **kwargs)
            del args, kwargs
            if call.wants_stream:
                self._stream(call, method, result)
                result = None
            elif method.kind is Kind.GENERATOR:
                raise _not_a_call(method)  # noqa: TRY301 - reported like the method's own errors
        except asyncio.CancelledError:  # raised at the caller, it would cancel a task there
            _cancelled(call)
        except BaseException as error:
            if self.forked:
                leave(error)
            _raised(call, error)
        else:
            if self.forked:
                leave()
            # With more to do the I/O thread sends it, together with what follows.
            call.eager = not self._groups[method.group].waiting
            call.send_result(result)

    @staticmethod
    def _stream(call: Any, method: Method, result: Any) -> None:
        if not isinstance(result, Iterable):
            raise _not_a_stream(method, result)
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
        if task not in self._loop.calls:  # the loop had ended, and runs again
            return
        run = self._run_async(task)
        try:
            running = asyncio.get_running_loop().create_task(run)
        except BaseException as error:  # a task factory of the program's
            run.close()
            _fail(task.call, Status.DRAINING, f"it could not be started: {_text(error)}", may_have_run=False)
            self._over(task)
            raise
        self._loop.calls[task] = running  # the loop itself refers to its tasks weakly
        running.add_done_callback(partial(self._finished_on_loop, task))

    def _finished_on_loop(self, task: Task, running: asyncio.Task[None]) -> None:
        call = task.call
        if not running.cancelled():
            running.exception()  # dealt with, and not to be warned of
        if not (call.finished or call.cancelled):
            _cancelled(call)  # before it began: code of the actor's may cancel all tasks that there are
        self._over(task)
        if self._closed and not self._loop.calls:
            self._loop.close()

    def _over(self, task: Task) -> None:
        self._loop.calls.pop(task, None)
        self._start(self._groups[task.method.group].finished(task))

    def _loop_ended(self) -> None:
        for task, running in list(self._loop.calls.items()):
            why = "the event loop that it ran on has ended"
            _fail(task.call, Status.CANCELLED, why, may_have_run=running is not None)
            self._over(task)

    async def _run_async(self, task: Task) -> None:
        call, method = task
        timer = None
        began = 0.0
        try:
            if not self._wanted(call):
                return
            if self._slow_calls.limit is not None:
                began = time.monotonic()
            self._enter(call)
            try:
                args, kwargs = call.take_arguments()
            except BaseException as error:
                _not_rebuilt(call, error)
                raise
            loop = asyncio.get_running_loop()
            me = asyncio.current_task()
            assert me is not None  # noqa: S101 - a coroutine runs in a task
            call.loop = loop
            call.on_cancel = partial(_cancel, loop, me)
            if call.cancelled:
                return
            deadline = call.deadline
            if deadline is not None:
                timer = loop.call_later(deadline.remaining, me.cancel)
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
            except (
                asyncio.CancelledError,
                GeneratorExit,
            ):  # its task was cancelled, or dropped with its loop
                if deadline is not None and deadline.passed:
                    _late(call)
                else:
                    _cancelled(call)
            except BaseException as error:
                if self.forked:
                    leave(error)
                _raised(call, error)
                if isinstance(error, KeyboardInterrupt):
                    raise
            else:
                if self.forked:
                    leave()
                call.send_result(result)
        except BaseException as error:
            _unsent(call, error)
            # Ctrl-C in the program's own loop ends the program. In a loop of ours nothing ends.
            if isinstance(error, KeyboardInterrupt) and is_program_exit(error):
                raise
        finally:
            call.on_cancel = None
            if timer is not None:
                timer.cancel()
            if began:
                self._slow_calls.ended(call, began)

    @staticmethod
    async def _stream_async(call: Any, method: Method, result: Any) -> None:
        if not isinstance(result, AsyncIterable | Iterable):
            raise _not_a_stream(method, result)
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

    def _enter(self, call: IncomingCall) -> None:
        _current.set(CallContext(call, self.name, self.actor_id))
        if call.trace:
            trace_context.set(call.trace)

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
        """Each public method with its signature and docstring. Must not raise."""
        described = []
        try:
            for name in public_names(self.actor):
                found = find_method(self.actor, name)
                if isinstance(found, Method):
                    doc = inspect.getdoc(found.function) or ""
                    described.append((found, _signature(found.function), doc))
        except BaseException:  # of descriptors of the actor's class, or of annotations
            _log.exception("actor %s cannot be described any further", self.name)
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
        if abort or not self._loop.calls:
            self._loop.close()
        self._threads.join(0.2)


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    def cancel() -> None:
        task.cancel()

    queue_into(loop).call_soon(cancel)


def _late(call: IncomingCall) -> None:
    call.send_failure(Status.DEADLINE_EXCEEDED, "the deadline passed while it ran", may_have_run=True)


def _cancelled(call: IncomingCall) -> None:
    call.send_failure(Status.CANCELLED, "the method was cancelled", may_have_run=True)


def _not_rebuilt(call: IncomingCall, error: BaseException) -> None:
    text = exception_text(error) if isinstance(error, SerializationError) else _text(error)
    call.send_failure(Status.SERIALIZATION, f"its arguments: {text}", may_have_run=False)


def _signature(function: Callable[..., Any]) -> str:
    try:
        return str(inspect.signature(function, eval_str=True))
    except BaseException:  # noqa: S110 - annotations may name what only a type checker imports, or do anything
        pass
    try:
        return str(inspect.signature(function))
    except (ValueError, TypeError):  # some builtins have none
        return "(...)"


def _unsent(call: IncomingCall, error: BaseException) -> None:
    """Its outcome, or the one in its place, could not be sent; where there was one, this does nothing."""
    why = f"its outcome could not be sent: {_text(error)}"
    _fail(call, Status.SERIALIZATION, why, may_have_run=True)


def _fail(call: IncomingCall, status: Status, why: str, *, may_have_run: bool) -> None:
    """As `IncomingCall.send_failure`, for where nobody else would go on if it raised."""
    try:
        call.send_failure(status, why, may_have_run=may_have_run)
    except BaseException:
        _log.exception("nothing could be sent to the caller of %s (%s)", call.target, why)


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {exception_text(error)}"


def _raised(call: IncomingCall, error: BaseException) -> None:
    _log.debug("%s raised", call.target, exc_info=error)
    call.send_exception(error, skip=error.__traceback__)


def _not_a_call(method: Method) -> TypeError:
    return TypeError(f"{method.name} is a generator: call it as pool.stream().{method.name}(...)")


_hosted: WeakSet[HostedActor] = WeakSet()


def _after_fork_in_child() -> None:
    # The thread, or the loop, of the method that forked would go on here, and wait for calls for ever.
    for hosted in list(_hosted):
        hosted.forked = True


at_fork(ForkStage.HELD, in_child=_after_fork_in_child)


def _not_a_stream(method: Method, result: Any) -> TypeError:
    kind = type(result).__name__
    text = f"{method.name} returned {kind}, which is no stream of items"
    if inspect.isawaitable(result) or isinstance(result, AsyncIterable):
        discard(result)
        return TypeError(f"{text} as long as {method.name} is not declared `async def`")
    return TypeError(f"{text}: call it as pool.call().{method.name}(...)")


async def _as_async(items: Iterable[Any]) -> Any:
    for item in items:
        yield item
