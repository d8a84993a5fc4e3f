"""Enums by value: with aliases, combined flags, and what their ``__new__`` and ``__init__`` gave the members.

Those two methods belong to what an enum is filled with later, so members are made without them, from what
they came to be.
"""

from __future__ import annotations

import enum
from typing import Any

from iris_actor.codec.by_value.classes import with_state
from iris_actor.codec.by_value.twins import twin

_MACHINERY = frozenset({"_value_", "_name_", "__objclass__", "_sort_order_", "_inverted_"})
"""Attributes of members that the enum machinery sets."""


def reduce_enum(cls: type[enum.Enum], reduced: Any) -> Any:
    """The reduction of `cls`, made of the one by cloudpickle."""
    _, _, (attributes, more), *_, fill = reduced
    packed: dict[str, Any] = {}
    known: dict[str, dict[str, Any]] = {}
    for name, member in cls.__members__.items():
        attributes.pop(name, None)
        packed[name] = _data(cls, member), member._value_
        known[name] = {key: value for key, value in vars(member).items() if key not in _MACHINERY}
    kind = type(cls)
    find, arguments = twin(
        cls, _make_enum, kind, cls.__name__, cls.__qualname__, cls.__module__, cls.__bases__, packed
    )
    return with_state(cls, find, arguments, (attributes, more, known, fill), _fill_enum)


def _data(cls: Any, member: Any) -> tuple[Any, ...]:
    """What ``__new__`` of the type of the members takes, such as an int."""
    kind = cls._member_type_
    if kind.__new__ is object.__new__:
        return ()
    arguments = getattr(kind, "__getnewargs__", None)
    return tuple(kind.__reduce__(member)[1] if arguments is None else arguments(member))


def _make_enum(
    metaclass: Any, name: str, qualname: str, module: str, bases: tuple[type, ...], packed: dict[str, Any]
) -> Any:
    namespace = metaclass.__prepare__(name, bases)
    namespace["__module__"] = module
    namespace["__qualname__"] = qualname
    namespace["__new__"] = _make_member
    namespace["__init__"] = _leave_member
    for key, value in packed.items():
        namespace[key] = value
    made = metaclass.__new__(metaclass, name, bases, namespace)
    del made.__init__
    return made


def _make_member(cls: Any, data: tuple[Any, ...], value: Any) -> Any:
    member = cls._member_type_.__new__(cls, *data)
    member._value_ = value
    return member


def _leave_member(*_: Any) -> None:
    """In the place of an ``__init__`` that a base may have."""


def _fill_enum(cls: Any, state: tuple[Any, ...]) -> None:
    attributes, more, known, fill = state
    fill(cls, (attributes, more))
    for name, values in known.items():
        vars(cls.__members__[name]).update(values)
