"""What travels by value beyond what cloudpickle knows: objects that pickle as their name in a module.

Where the name is one that the far side can import, it is left at that.
"""

from __future__ import annotations

import contextvars
import functools
import sys
import threading
import typing
from collections.abc import Callable
from types import CodeType
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from iris_actor.codec.body import PROTOCOL
from iris_actor.codec.by_value.code import reduce_code
from iris_actor.codec.by_value.modules import travels_by_value
from iris_actor.codec.by_value.twins import twin
from iris_actor.codec.cached_function import CachedFunction


def _can_be_imported(obj: Any, name: str) -> bool:
    """Whether the far side finds `obj` under `name` in its module."""
    found: Any = sys.modules.get(obj.__module__ or "")
    if found is None or travels_by_value(obj):
        return False
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is obj


def _reduce_cached(function: Any) -> Any:
    """A function behind ``lru_cache`` or ``cache``: with an empty cache, as in any new process."""
    parameters = getattr(function, "cache_parameters", None)
    if parameters is None or _can_be_imported(function, function.__qualname__):
        return function.__reduce__()
    attributes = {
        name: value
        for name, value in vars(function).items()
        if name not in {"__wrapped__", "cache_parameters"}
    }
    return _make_cached, (function.__wrapped__, parameters()), attributes or None


def _make_cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def _reduce_cached_property(prop: Any) -> Any:
    state = {name: value for name, value in vars(prop).items() if name != "lock"}  # which 3.11 has
    return functools.cached_property, (prop.func,), state


def _reduce_weak(kind: Callable[[], Any], mapping: Any) -> Any:
    return kind, (), None, None, iter(list(mapping.items()))


def _reduce_context_variable(variable: contextvars.ContextVar[Any]) -> Any:
    try:
        default = {"default": contextvars.Context().run(variable.get)}
    except LookupError:
        default = {}
    return twin(variable, _make_context_variable, variable.name, default)


def _make_context_variable(name: str, default: dict[str, Any]) -> Any:
    return contextvars.ContextVar(name, **default)


def _reduce_local(local: threading.local) -> Any:
    # Empty, as it is for any thread that did not fill it.
    return twin(local, threading.local)


def _reduce_variable(variable: Any) -> Any:
    """A TypeVar or ParamSpec."""
    if _can_be_imported(variable, variable.__name__):
        return variable.__name__
    options = {name: getattr(variable, f"__{name}__") for name in ("bound", "covariant", "contravariant")}
    if getattr(variable, "__infer_variance__", False):  # 3.12
        options["infer_variance"] = True
    if getattr(variable, "has_default", bool)():  # 3.13
        options["default"] = variable.__default__
    constraints = getattr(variable, "__constraints__", ())
    name, module = variable.__name__, variable.__module__
    return twin(variable, _make_variable, type(variable), name, module, constraints, options)


def _make_variable(
    kind: Any, name: str, module: str, constraints: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    made = kind(name, *constraints, **options)
    made.__module__ = module
    return made


def _reduce_variable_tuple(variable: Any) -> Any:
    if _can_be_imported(variable, variable.__name__):
        return variable.__name__
    return twin(variable, typing.TypeVarTuple, variable.__name__)


def _reduce_new_type(new_type: Any) -> Any:
    if _can_be_imported(new_type, new_type.__qualname__):
        return new_type.__qualname__
    return twin(new_type, _make_new_type, new_type.__qualname__, new_type.__module__, new_type.__supertype__)


def _make_new_type(name: str, module: str, supertype: Any) -> Any:
    made: Any = typing.NewType(name, supertype)  # type: ignore[misc]
    made.__module__ = module
    return made


def _reduce_alias(alias: Any) -> Any:
    if _can_be_imported(alias, alias.__name__):
        return alias.__name__
    return twin(alias, _make_alias, alias.__name__, alias.__value__, alias.__type_params__)


def _make_alias(name: str, value: Any, parameters: tuple[Any, ...]) -> Any:
    return typing.TypeAliasType(name, value, type_params=parameters)  # type: ignore[attr-defined]


def reduce_by_itself(obj: Any) -> Any:
    """The reduction of an object whose class travels by value and says how it is reduced."""
    reduced = obj.__reduce_ex__(PROTOCOL)
    if not isinstance(reduced, str):
        return reduced
    # A sentinel: it pickles as its name, for the process that has it.
    return twin(obj, _make_sentinel, type(obj), getattr(obj, "__dict__", {}))


def _make_sentinel(cls: type, attributes: dict[str, Any]) -> Any:
    made: Any = object.__new__(cls)
    if attributes:
        made.__dict__.update(attributes)
    return made


REDUCTIONS: dict[type, Callable[[Any], Any]] = {
    CodeType: reduce_code,
    CachedFunction: _reduce_cached,
    functools.cached_property: _reduce_cached_property,
    WeakKeyDictionary: functools.partial(_reduce_weak, WeakKeyDictionary),
    WeakValueDictionary: functools.partial(_reduce_weak, WeakValueDictionary),
    contextvars.ContextVar: _reduce_context_variable,
    threading.local: _reduce_local,
    typing.TypeVar: _reduce_variable,
    typing.ParamSpec: _reduce_variable,
    typing.TypeVarTuple: _reduce_variable_tuple,
    typing.NewType: _reduce_new_type,
}
"""By exact type; for the dispatch table of the by-value pickler."""
if sys.version_info >= (3, 12):
    REDUCTIONS[typing.TypeAliasType] = _reduce_alias
