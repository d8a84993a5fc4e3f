"""Task: one submitted call, from `submit` until its future is resolved."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Mapping
from types import MappingProxyType
from typing import Any

from iris_actor import codec
from iris_actor.actor.context import trace_context
from iris_actor.codec import Body
from iris_actor.work.pool.payload.definition import Definition, with_needs
from iris_actor.work.pool.payload.functions import Function
from iris_actor.work.pool.payload.shared import Shared, collected
from iris_actor.work.pool.payload.task_future import TaskFuture
from iris_actor.work.pool.scheduler.scheduled_task import ScheduledTask
from iris_actor.work.worker.task_call import name_of
from iris_actor.work.worker.task_wire import PLAIN_BYTES, Packed, is_plain, pack

Stopper = Callable[["Task", bool], bool]
"""See `Task.stop`; the second argument is `kill`."""

_NO_KEYWORDS: Mapping[str, Any] = MappingProxyType({})


class Task(ScheduledTask):
    """One submitted call, with what makes it one: function, arguments and future.

    Attributes:
        fn, args, kwargs: the call. With `spread`, `args` is a list of tuples of positional arguments.
        spread: whether it is a chunk of a `map`.
        weight: how many calls of `fn` it makes.
        function: how `fn` is known to the workers.
        needs: what its pickle refers to; known once it was pickled.
        future: what the caller holds.
        by_value: how many modules had to be sent by value for its sake.
    """

    function: Function | None = None
    needs: tuple[Definition, ...] = ()
    by_value = 0
    _body: Body | None = None

    def __init__(
        self,
        seq: int,
        fn: Callable[..., Any],
        args: Any,
        kwargs: Mapping[str, Any],
        *,
        stopper: Stopper,
        timeout: float | None = None,
        max_retries: int = 0,
        spread: bool = False,
        weight: int = 1,
    ) -> None:
        # A partial is its function with more arguments; taken apart, the function is sent only once.
        if type(fn) is functools.partial:
            kwargs = {**fn.keywords, **kwargs}
            args = [(*fn.args, *each) for each in args] if spread else (*fn.args, *args)
            fn = fn.func
        self.seq = seq
        self.fn = fn
        self.args = args
        self.kwargs = kwargs or _NO_KEYWORDS
        self.spread = spread
        self.weight = weight
        self.timeout = None if timeout is None else timeout * weight
        self.max_retries = max_retries
        self.future: TaskFuture[Any] = TaskFuture(self)
        self._stopper = stopper
        self._trace = trace_context.get()

    @property
    def name(self) -> str:
        """What people call its function."""
        return name_of(self.fn)

    @property
    def expected(self) -> float:
        """Seconds that it will take, as far as anyone can tell."""
        function = self.function
        return 0.0 if function is None else function.mean * self.weight

    @property
    def cancelled(self) -> bool:
        """Whether its future was cancelled."""
        return self.future.cancelled()

    def claim(self) -> bool:
        """Put its future past the point where it can be cancelled. False: it is cancelled."""
        return self.future.set_running_or_notify_cancel()

    def measured(self, seconds: float) -> None:
        """Its calls took `seconds` together."""
        if self.function is not None:
            self.function.measured(seconds / self.weight)

    def stop(self, *, kill: bool) -> bool:
        """See `TaskFuture.cancel`, for a task that is past the queue."""
        return self._stopper(self, kill)

    def missing(self, known: Container[int]) -> tuple[Definition, ...]:
        """Those of its `definitions` that are not known."""
        function = self.function
        if not self.needs and function is not None and function.id in known:
            return ()
        return tuple(each for each in self.definitions if each.id not in known)

    @property
    def definitions(self) -> tuple[Definition, ...]:
        """What a worker must have before it can run it, in that order. Known once it was pickled."""
        function = self.function
        if function is None or function.id == 0:
            return self.needs
        return (*self.needs, *function.needs, function) if self.needs or function.needs else (function,)

    def message(self) -> tuple[tuple[Any, ...], int]:
        """Its `TaskMessage`, as a bare tuple, and the size of that in bytes.

        It is pickled once, also when it is sent again.

        Raises:
            SerializationError: when an argument cannot be pickled.
            Exception: what an argument's own code raised while it was being pickled.
        """
        function = self.function
        number = function.id if function is not None else 0
        if number and not self.kwargs and not self.spread and all(map(is_plain, self.args)):
            plain: Packed = ((self.args, {}),)
            return (self.seq, number, plain, False, self.timeout, self._trace), PLAIN_BYTES * len(self.args)
        body = self._body
        if body is None:
            body = self._body = self._pickle()
        return (self.seq, number, pack(body), self.spread, self.timeout, self._trace), body.nbytes

    def _pickle(self) -> Body:
        function = self.function
        if function is None or not function.owner.shared:
            return self._dump(0 if function is None else function.id)
        with collected(function.owner) as found:
            body = self._dump(function.id)
        if found:
            self.needs = with_needs(found.values())
        return body

    def _dump(self, function_id: int) -> Body:
        if function_id == 0:
            return codec.dumps((self.fn, self.args, dict(self.kwargs)))
        if self.spread:
            return codec.dumps((self.args, dict(self.kwargs)))
        return codec.dump_arguments(getattr(self.fn, "__qualname__", ""), self.args, self.kwargs)

    def repickle(self, version: int) -> list[Shared]:
        """Forget the pickle, because more must travel by value now; returns what workers must get anew.

        Raises:
            SerializationError: when a shared object cannot be pickled again.
        """
        self._body = None
        self.by_value += 1
        renewed = [each for each in self.definitions if isinstance(each, Shared)]
        for each in renewed:
            each.renew(version)
        return renewed

    def release(self) -> None:
        """Drop the call's arguments: the task is over, its future may live on."""
        self.future.task = None
        self.args, self.kwargs = (), _NO_KEYWORDS
        self._body = self.function = None
        self.needs = ()
        self.fn = _released


def _released() -> None:
    """Stands in for the function of a task that is over."""
