"""PlainPickler: the C pickler, for values that the far side can rebuild from names that it can import."""

from __future__ import annotations

import pickle
import sys
import typing
from types import FunctionType
from typing import Any

from iris_actor.codec.by_value.modules import BY_VALUE, travels_by_value
from iris_actor.codec.cached_function import CachedFunction
from iris_actor.codec.exception_reduction import reduce_exception

_PICKLED_AS_NAMES: set[Any] = {
    FunctionType,
    CachedFunction,
    typing.NewType,
    typing.ParamSpec,
    typing.TypeVar,
    typing.TypeVarTuple,
}
"""Types whose objects pickle as their name in a module; those of classes are not all known."""
if sys.version_info >= (3, 12):
    _PICKLED_AS_NAMES.add(typing.TypeAliasType)


class TravelsByValueError(Exception):
    """The plain pickler met something whose module the far side may not have."""


class PlainPickler(pickle.Pickler):
    """Gives up with a `TravelsByValueError` on what must travel by value."""

    def reducer_override(self, obj: Any) -> Any:
        """The reduction of what needs one of ours."""
        kind = type(obj)
        if kind in _PICKLED_AS_NAMES or isinstance(obj, type):
            if travels_by_value(obj):
                raise TravelsByValueError
        elif kind.__module__ in BY_VALUE:
            # Before its class is met: such an object may pickle as a name too.
            raise TravelsByValueError
        elif isinstance(obj, BaseException):
            return reduce_exception(obj)
        return NotImplemented
