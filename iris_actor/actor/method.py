"""Methods of an actor: which can be called, and how each runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial, partialmethod
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    WrapperDescriptorType,
)
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_GROUP = "default"
_MARK = "__iris_group__"


def method(*, group: str) -> Callable[[F], F]:
    """Put a method into a concurrency group with a limit of its own.

    Args:
        group: a group's name. Its limit is what `ActorServer.register(concurrency_groups={group: n})`
            says, and 1 where that is silent.

    A call of the method then waits only for calls in the same group: a heartbeat in a group of its own is
    answered while training runs. The method must be safe to run beside those of other groups.
    """
    if not isinstance(group, str) or not group:
        raise ValueError(f"method(group=...) needs a name, got {group!r}")

    def mark(function: F) -> F:
        setattr(function, _MARK, group)
        return function

    return mark


class Kind(Enum):
    """How a method runs."""

    PLAIN = "plain"
    ASYNC = "async"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async generator"


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """One method of a hosted actor."""

    name: str
    function: Callable[..., Any]
    kind: Kind
    group: str

    @property
    def on_loop(self) -> bool:
        """Whether it runs on an event loop."""
        return self.kind in _ON_LOOP


# Not inspect.isroutine: it takes any non-data descriptor, such as a cached_property, for a method.
_ROUTINES = (
    staticmethod,
    classmethod,
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    MethodDescriptorType,
    WrapperDescriptorType,
    ClassMethodDescriptorType,
    partialmethod,
)
_ON_LOOP = frozenset({Kind.ASYNC, Kind.ASYNC_GENERATOR})


def _kind(function: Any) -> Kind:
    while isinstance(function, partial):
        function = function.func
    if not inspect.isroutine(function):  # an object that is called: its class has the code
        function = getattr(type(function), "__call__", function)  # noqa: B004 - not whether, but what
    if inspect.iscoroutinefunction(function):
        return Kind.ASYNC
    if inspect.isasyncgenfunction(function):
        return Kind.ASYNC_GENERATOR
    if inspect.isgeneratorfunction(function):
        return Kind.GENERATOR
    return Kind.PLAIN


def find_method(actor: Any, name: str) -> Method | str:
    """The public method `name` of `actor`, or the reason why there is none.

    Properties and other descriptors are not evaluated.
    """
    if name.startswith("_"):
        return f"{name!r} is private: names that begin with '_' cannot be called"
    missing = object()
    static = inspect.getattr_static(actor, name, missing)
    if static is missing:
        known = ", ".join(public_names(actor)) or "none"
        return f"{type(actor).__name__} has no method {name!r} (it has: {known})"
    if isinstance(static, property) or not _is_function(actor, name, static):
        return f"{name!r} of {type(actor).__name__} is not a method"
    function = getattr(actor, name)
    return Method(name, function, _kind(function), getattr(function, _MARK, DEFAULT_GROUP))


def _is_function(actor: Any, name: str, static: Any) -> bool:
    if isinstance(static, _ROUTINES):
        return True
    # A callable object: in the instance it is called as it is, in the class a descriptor might run code.
    in_instance = name in getattr(actor, "__dict__", {})
    return callable(static) and (in_instance or not hasattr(type(static), "__get__"))


def public_names(actor: Any) -> list[str]:
    """Names of the methods that can be called, sorted."""
    names = {*dir(type(actor)), *getattr(actor, "__dict__", {})}
    missing = object()
    found = []
    for name in sorted(names):
        static = inspect.getattr_static(actor, name, missing)
        if name.startswith("_") or static is missing or isinstance(static, property):
            continue
        if _is_function(actor, name, static):
            found.append(name)
    return found
