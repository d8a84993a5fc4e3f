"""Classes by value: rebuilt with their slots and name, and filled once.

cloudpickle makes an empty class and fills it from its pickle; a class that has come before is found by an id
and filled again. That is done here with two differences. The empty class gets the slots, which cannot be
added later. And a process fills a class when it first hears of that state of it, and never one of its own:
what a worker sends back must not replace the methods of the driver's class, nor its counters.
"""

from __future__ import annotations

import functools
import inspect
import threading
import typing
import uuid
from collections.abc import Callable
from types import FunctionType, MemberDescriptorType
from typing import Any
from weakref import WeakKeyDictionary

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class _Filling:
    """What this process knows of the state of one class.

    Attributes:
        own: whether the class was defined in this process.
        attributes: what it had when `current` was made up.
        current: names that state.
        heard: names of states that the class has had here.
    """

    __slots__ = ("attributes", "current", "heard", "own")

    def __init__(self, *, own: bool) -> None:
        self.own = own
        self.attributes: dict[str, Any] = {}
        self.current = ""
        self.heard: set[str] = set()

    def state_of(self, cls: type) -> str:
        """Name of the state that `cls` has now: another one if an attribute was bound anew."""
        attributes = dict(vars(cls))
        mine = self.attributes
        if attributes.keys() != mine.keys() or any(mine[name] is not attributes[name] for name in mine):
            self.attributes = attributes
            self.current = uuid.uuid4().hex
            self.heard.add(self.current)
        return self.current


_lock = threading.Lock()  # guards what follows, and the fillings in it
_fillings: WeakKeyDictionary[type, _Filling] = WeakKeyDictionary()


def reduce_class(cls: type, reduced: Any) -> Any:
    """The reduction of `cls`, made of the one by cloudpickle."""
    make, arguments, (attributes, more), *_, fill = reduced
    constructor, name, bases, namespace, *rest = arguments
    namespace["__qualname__"] = cls.__qualname__
    slots = vars(cls).get("__slots__")
    if isinstance(slots, str | tuple | list | dict) and typing.NamedTuple not in bases:
        namespace["__slots__"] = slots
    for key in [key for key, value in attributes.items() if isinstance(value, MemberDescriptorType)]:
        if attributes[key].__objclass__ is cls:  # with a mangled name, else cloudpickle knows it by its slot
            del attributes[key]
    if _asks_for_keywords(cls):
        constructor = functools.partial(_construct_quietly, constructor)
    return with_state(cls, make, (constructor, name, bases, namespace, *rest), (attributes, more), fill)


class _Quiet:
    """Comes first among the bases of a class whose ``__init_subclass__`` shall not be called."""

    def __init_subclass__(cls) -> None:
        """Nothing."""


def _asks_for_keywords(cls: Any) -> bool:
    """Whether making `cls` took keywords, which nobody has kept. What came of them is in its state."""
    function = getattr(super(cls, cls).__init_subclass__, "__func__", None)
    if not isinstance(function, FunctionType):
        return False
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return any(each.default is each.empty and each.kind not in _VARIABLE for each in parameters)


def _construct_quietly(metaclass: Any, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
    made = metaclass(name, (_Quiet, *bases), namespace)
    made.__bases__ = bases
    return made


def with_state(
    cls: type, make: Callable[..., Any], arguments: tuple[Any, ...], state: Any, fill: Callable[..., Any]
) -> Any:
    """A reduction that makes a class and fills it, where that state of it is news."""
    with _lock:
        filling = _fillings.get(cls)
        if filling is None:
            filling = _fillings[cls] = _Filling(own=True)
        current = filling.state_of(cls)
    return make, arguments, (current, fill, state), None, None, _fill


def _fill(cls: type, state: Any) -> None:
    current, fill, attributes = state
    with _lock:
        filling = _fillings.get(cls)
        if filling is None:
            filling = _fillings[cls] = _Filling(own=False)
        if filling.own or current in filling.heard:
            return
    fill(cls, attributes)
    with _lock:
        # Only now: a thread that comes upon the class meanwhile fills it too, instead of using half of it.
        filling.heard.add(current)
        filling.current = current
        filling.attributes = dict(vars(cls))
