"""Task: one submitted call, from `submit` until its future is resolved."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from iris_actor import codec
from iris_actor.codec import Body
from iris_actor.work.functions import Function
from iris_actor.work.task_future import TaskFuture
from iris_actor.work.task_wire import pack


class Task:
    """One submitted call.

    Attributes:
        seq: its number in the pool.
        fn, args, kwargs: the call. With `spread`, `args` is a list of tuples of positional arguments.
        spread: whether it is a chunk of a `map`.
        weight: how many calls of `fn` it makes.
        function: how `fn` is known to the workers.
        future: what the caller holds.
        started: whether the future is past the point where it can be cancelled.
        deaths: how many workers died while they ran it.
        by_value: how many modules had to be sent by value for its sake.
        cost: seconds that it was expected to take when it was given to a worker.
    """

    __slots__ = (
        "_body",
        "args",
        "by_value",
        "cost",
        "deaths",
        "fn",
        "function",
        "future",
        "kwargs",
        "seq",
        "spread",
        "started",
        "weight",
    )

    def __init__(
        self,
        seq: int,
        fn: Callable[..., Any],
        args: Any,
        kwargs: Mapping[str, Any],
        *,
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
        self.kwargs = kwargs
        self.spread = spread
        self.weight = weight
        self.function: Function | None = None
        self.future: Future[Any] = TaskFuture()
        self.started = False
        self.deaths = 0
        self.by_value = 0
        self.cost = 0.0
        self._body: Body | None = None

    @property
    def expected(self) -> float:
        """Seconds that it will take, as far as anyone can tell."""
        return self.function.mean * self.weight if self.function is not None else 0.0

    def message(self) -> tuple[tuple[Any, ...], int]:
        """Its `TaskMessage`, as a bare tuple, and the size of that in bytes.

        It is pickled once, also when it is sent again.

        Raises:
            SerializationError: when an argument cannot be pickled.
            Exception: what an argument's own code raised while it was being pickled.
        """
        function_id = self.function.id if self.function is not None else 0
        body = self._body
        if body is None:
            body = self._body = self._pickle(function_id)
        return (self.seq, function_id, pack(body), self.spread), body.nbytes

    def _pickle(self, function_id: int) -> Body:
        if function_id == 0:
            return codec.dumps((self.fn, self.args, dict(self.kwargs)))
        if self.spread:
            return codec.dumps((self.args, dict(self.kwargs)))
        return codec.dump_arguments(getattr(self.fn, "__qualname__", ""), self.args, self.kwargs)

    def repickle(self) -> None:
        """Forget the pickle, because more must travel by value now."""
        self._body = None
        self.by_value += 1

    def release(self) -> None:
        """Drop the call's arguments: the task is over, its future may live on."""
        self.args, self.kwargs = (), {}
        self._body = self.function = None
        self.fn = _released


def _released() -> None:
    """Stands in for the function of a task that is over."""
