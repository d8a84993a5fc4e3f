"""Captured: the variables that a function takes along when it travels by value."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

from iris_actor import codec
from iris_actor.codec.cached_function import CachedFunction
from iris_actor.errors import SerializationError

_NOTHING = object()


def code_of(fn: Any) -> FunctionType | None:
    """The Python function that `fn` is, itself or behind ``lru_cache``; None for any other object."""
    while isinstance(fn, CachedFunction):
        fn = fn.__wrapped__
    return fn if isinstance(fn, FunctionType) else None


def captured_by(fn: Callable[..., Any]) -> list[Any]:
    """What a function that travels by value takes along, itself excepted."""
    seen: set[Any] = {fn}
    found: list[Any] = []
    queue = [fn]
    while queue:
        for _, value in _used(queue.pop()):
            if code_of(value) is not None and codec.travels_by_value(value):
                if value in seen:
                    continue
                seen.add(value)
                queue.append(value)
            found.append(value)
    return found


def named_culprit(fn: Callable[..., Any]) -> SerializationError | None:
    """The error that names the variable for which `fn` does not pickle, if one is found."""
    seen: set[Any] = {fn}
    queue = [fn]
    while queue:
        current = queue.pop()
        for name, value in _used(current):
            if code_of(value) is not None and codec.travels_by_value(value):
                if value not in seen:
                    seen.add(value)
                    queue.append(value)
                continue
            if value is _NOTHING:
                continue
            try:
                codec.dumps(value)
            except SerializationError as error:
                culprit = SerializationError(
                    f"cannot pickle function {current.__qualname__!r}: it travels with the variables that it"
                    f" uses, since workers do not import {current.__module__}, and {name!r} does not pickle:"
                    f" {error}. Make it in the function, or have both in a module that workers can import"
                )
                culprit.__cause__ = error.__cause__
                return culprit
    return None


def _used(fn: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    function = code_of(fn)
    if function is None:
        return
    code = function.__code__
    yield "__code__", code
    yield "__defaults__", function.__defaults__
    yield "__kwdefaults__", function.__kwdefaults__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not bound yet
            yield name, _NOTHING
    for name in _global_names(code):
        yield name, function.__globals__.get(name, _NOTHING)


@functools.lru_cache(maxsize=4096)
def _global_names(code: CodeType) -> tuple[str, ...]:
    """Names that the code, or code nested in it, may look up in the globals."""
    names = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names.update(dict.fromkeys(_global_names(constant)))
    return tuple(names)
