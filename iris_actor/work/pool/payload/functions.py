"""Functions: which callables a pool has seen, so that each is sent to a worker once and not once a task.

A function that other processes can import travels as its name. One of ``__main__``, a lambda or a closure
travels by value, with the variables it uses, as they are when it is submitted. When one of those is bound
to something else, the next submit notices and captures the function anew; a change *inside* an object that
is used in this way is not noticed. Data that changes belongs into the arguments.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from threading import Lock
from types import BuiltinFunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from iris_actor import codec
from iris_actor.codec import Body
from iris_actor.errors import SerializationError
from iris_actor.program_exit import is_program_exit
from iris_actor.work.pool.payload.captured import captured_by, code_of, named_culprit
from iris_actor.work.pool.payload.definition import Definition, Definitions, with_needs
from iris_actor.work.pool.payload.shared import Shared, collected

UNKNOWN = float("inf")
"""Expected duration of a function that has not been run yet."""
_WEIGHT = 0.25


class Function(Definition):
    """One callable as it was captured.

    Attributes:
        mean: seconds that a call of it lately took in a worker; `UNKNOWN` before the first.
    """

    __slots__ = ("_captured", "mean")

    def __init__(
        self,
        definitions: Definitions,
        number: int,
        body: Body | None,
        *,
        captured: list[Any],
        needs: tuple[Definition, ...] = (),
    ) -> None:
        super().__init__(definitions, number, body, needs)
        self.mean = UNKNOWN
        self._captured = captured

    def measured(self, seconds: float) -> None:
        """A call took `seconds`."""
        self.mean = seconds if self.mean == UNKNOWN else self.mean + _WEIGHT * (seconds - self.mean)

    def is_current(self, captured: list[Any]) -> bool:
        """Whether the variables that the function uses are still bound to what they were."""
        mine = self._captured
        return len(mine) == len(captured) and all(map(operator.is_, mine, captured))


class Functions:
    """The functions of one pool. Thread-safe.

    Attributes:
        definitions: numbers them.
        version: how many modules were found to be missing in workers, and travel by value since.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: WeakKeyDictionary[Callable[..., Any], Function] = WeakKeyDictionary()
        self._kinds: dict[object, Function] = {}
        self._by_value: set[str] = set()
        self.definitions = Definitions()
        self.version = 0

    def put(self, value: Any) -> Shared:
        """A handle for `value` as it is now.

        Raises:
            SerializationError: (a TypeError) when it cannot be pickled.
        """
        return Shared(self.definitions, value, self.version)

    def find(self, fn: Callable[..., Any]) -> Function:
        """The record of `fn`, captured now unless it is known and unchanged.

        Raises:
            SerializationError: (a TypeError) when it cannot be pickled.
        """
        if not _is_stateless(fn):
            # Bound methods and callable objects have state that their tasks must see as it is then.
            return self._kind(getattr(fn, "__func__", None) or (type(fn), getattr(fn, "__name__", "")))
        known = self._known.get(fn)
        captured = captured_by(fn) if code_of(fn) is not None and codec.travels_by_value(fn) else []
        if known is not None and (not captured or known.is_current(captured)):
            return known
        with collected(self.definitions) as found:
            try:
                body = codec.dumps(fn)
            except SerializationError as error:
                raise (named_culprit(fn) if captured else None) or error from error.__cause__
        needs = with_needs(found.values())
        number = self.definitions.next_id()
        function = Function(self.definitions, number, body, captured=captured, needs=needs)
        with self._lock:
            self._known[fn] = function
        return function

    def expected(self, fn: Callable[..., Any]) -> float:
        """Seconds that a call of `fn` takes, as far as anyone can tell."""
        try:
            return self.find(fn).mean
        except BaseException as error:  # it does not pickle: the call will say so
            if is_program_exit(error):
                raise
            return UNKNOWN

    def _kind(self, key: object) -> Function:
        with self._lock:
            function = self._kinds.get(key)
            if function is None:
                function = self._kinds[key] = Function(self.definitions, 0, None, captured=[])
            return function

    def send_by_value(self, module_name: str) -> bool:
        """Have what is defined in that module travel by value, since workers cannot import it.

        Returns:
            Whether that can be: not for modules that were installed, whose lack is an error of the
            workers' environment, nor for those that are not written in Python.
        """
        module = sys.modules.get(module_name)
        file = getattr(module, "__file__", None) or ""
        installed = "site-packages" in file or "dist-packages" in file
        if module is None or module_name.partition(".")[0] in sys.stdlib_module_names or installed:
            return False
        if file and not file.endswith((".py", ".pyc")):
            return False
        with self._lock:
            codec.travel_by_value(module)
            self._known.clear()
            if module_name not in self._by_value:
                self._by_value.add(module_name)
                self.version += 1
        return True


def _is_stateless(fn: Any) -> bool:
    if isinstance(fn, BuiltinFunctionType):
        return isinstance(fn.__self__, ModuleType | None)
    # A function behind lru_cache has a cache, which each worker keeps for itself.
    return isinstance(fn, type) or code_of(fn) is not None
