"""ByValuePickler: cloudpickle's pickler, with the reductions of this project. Imported when first needed."""

from __future__ import annotations

import enum
from collections import ChainMap
from types import FunctionType
from typing import Any, ClassVar

import cloudpickle

from iris_actor.codec.by_value.classes import reduce_class
from iris_actor.codec.by_value.enums import reduce_enum
from iris_actor.codec.by_value.modules import travels_by_value
from iris_actor.codec.by_value.reductions import REDUCTIONS, reduce_by_itself
from iris_actor.codec.exception_reduction import reduce_exception

_CLASS_BY_VALUE = 6
"""Parts of cloudpickle's reduction of a class that travels by value."""


class ByValuePickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles functions and classes with their code where the far side may not have them."""

    dispatch_table: ClassVar[Any] = ChainMap(REDUCTIONS, *cloudpickle.Pickler.dispatch_table.maps)
    other_way = False
    """As in `reduce_exception`."""
    met_exception = False
    """Whether there was one, so that another way is thinkable."""

    def reducer_override(self, obj: Any) -> Any:
        """The reduction of what needs one of ours, or of cloudpickle's."""
        if isinstance(obj, BaseException):
            self.met_exception = True
            reduced = reduce_exception(obj, other_way=self.other_way)
            if reduced is not NotImplemented:
                return reduced
        elif isinstance(obj, type):
            reduced = super().reducer_override(obj)
            if reduced is not NotImplemented and len(reduced) == _CLASS_BY_VALUE:
                return reduce_enum(obj, reduced) if issubclass(obj, enum.Enum) else reduce_class(obj, reduced)
            return reduced
        elif not isinstance(obj, FunctionType):
            cls = type(obj)
            own = isinstance(cls.__reduce__, FunctionType) or isinstance(cls.__reduce_ex__, FunctionType)
            return reduce_by_itself(obj) if own and travels_by_value(cls) else NotImplemented
        return super().reducer_override(obj)


class OtherWayPickler(ByValuePickler):
    """Takes exceptions apart in the way that is not preferred."""

    other_way = True
