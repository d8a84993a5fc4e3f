"""TaskCall: a running task as `call_context()` shows it to the task's own code."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

from iris_actor.deadline import Deadline
from iris_actor.program_exit import is_program_exit
from iris_actor.rpc.incoming_call import Caller
from iris_actor.rpc.watched import Watched


class TaskCall(Watched):
    """One running task.

    Args:
        seq: its number in the pool.
        function: what it calls.
        caller: the driver.
        deadline: when its timeout passes.
        trace: the submitter's trace context.
        told: numbers of the tasks that were told to stop.
    """

    __slots__ = ("_told", "caller", "deadline", "function", "seq", "trace")

    chain: tuple[str, ...] = ()
    """Nobody is known to wait for a task: its submitter goes on."""
    loop = None
    """A task runs in a thread."""

    def __init__(
        self,
        seq: int,
        function: Callable[..., Any],
        caller: Caller,
        deadline: Deadline | None,
        trace: Mapping[str, str] | None,
        told: Collection[int],
    ) -> None:
        self.seq = seq
        self.function = function
        self.caller = caller
        self.deadline = deadline
        self.trace = trace
        self._told = told
        self._watchers = None

    @property
    def method(self) -> str:
        """Name of the function."""
        return name_of(self.function)

    @property
    def cancelled(self) -> bool:
        """Whether the task was told to stop."""
        return self.seq in self._told

    @property
    def uid(self) -> str:
        """What stands for the task in the chain of the calls that it makes."""
        return f"task-{self.caller.host}-{self.caller.pid}-{os.getpid()}-{self.seq}"


def name_of(function: Callable[..., Any]) -> str:
    """What people call `function`."""
    try:
        name = getattr(function, "__qualname__", None)
    except BaseException as error:  # the attributes of a callable object may be code of the user's
        if is_program_exit(error):
            raise
        name = None
    return name if isinstance(name, str) else type(function).__qualname__
