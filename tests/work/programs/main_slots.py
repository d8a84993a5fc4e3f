"""Classes with slots of ``__main__`` in tasks; see cases.py."""

from __future__ import annotations

import dataclasses
import weakref
from typing import Any

import attrs
from cases import case, main


@dataclasses.dataclass(slots=True)
class SlotsData:
    score: float
    name: str = "a"


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenSlotsData:
    score: float


@dataclasses.dataclass(slots=True)
class DerivedSlotsData(SlotsData):
    more: list[int] = dataclasses.field(default_factory=list)


class Point:
    __slots__ = ("x",)

    def __init__(self, x: int) -> None:
        self.x = x


class Derived(Point):
    __slots__ = ("__secret", "__weakref__", "y")

    def __init__(self, x: int, y: int) -> None:
        super().__init__(x)
        self.y = y
        self.__secret = x + y

    def secret(self) -> int:
        return self.__secret


class HalfSlots(Point):
    """Has a ``__dict__`` beside the slot that it inherits."""

    def __init__(self, x: int) -> None:
        super().__init__(x)
        self.other = x + 1


class OneSlot:
    __slots__ = "only"  # noqa: PLC0205 - a string is allowed


class DocumentedSlots:
    __slots__ = {"a": "what a is"}


class SlotsAndDict:
    __slots__ = ("__dict__", "a")


@attrs.define
class Attrs:
    a: int
    b: list[int] = attrs.field(factory=list)


@attrs.frozen
class FrozenAttrs:
    a: int


class OwnState:
    __slots__ = ("a",)

    def __getstate__(self) -> Any:
        return {"kept": self.a}

    def __setstate__(self, state: Any) -> None:
        self.a = state["kept"]


@case(3, look=lambda r: (type(r) is SlotsData, repr(r)))
def slots_dataclass(i):
    return SlotsData(i * 0.5)


@case(3, look=lambda r: (type(r) is FrozenSlotsData, repr(r), hash(r) == hash(FrozenSlotsData(1.5))))
def frozen_slots_dataclass(i):
    return FrozenSlotsData(i * 0.5)


@case(3, look=lambda r: (type(r) is DerivedSlotsData, isinstance(r, SlotsData), repr(r)))
def derived_slots_dataclass(i):
    return DerivedSlotsData(i, "b", [i])


@case(SlotsData(2.5), look=lambda r: (type(r) is SlotsData, repr(r)))
def slots_dataclass_there_and_back(value):
    assert isinstance(value, SlotsData)
    value.score += 1
    return value


@case(3, look=lambda r: (type(r) is Point, r.x, hasattr(r, "__dict__")))
def slots(i):
    return Point(i)


@case(look=tuple)
def slots_forbid_other_attributes_in_the_worker_too():
    try:
        Point(1).y = 3
    except AttributeError:
        return "forbidden", hasattr(Point(1), "__dict__")
    return "allowed", hasattr(Point(1), "__dict__")


@case(3, look=lambda r: (type(r) is Derived, isinstance(r, Point), r.x, r.y, r.secret()))
def derived_slots_with_mangled_names(i):
    return Derived(i, i + 1)


@case(Derived(1, 2), look=repr)
def mangled_names_in_an_argument(value):
    return value.secret(), weakref.ref(value)() is value


@case(3, look=lambda r: (type(r) is HalfSlots, r.x, r.other))
def slots_in_a_base_only(i):
    return HalfSlots(i)


@case(3, look=lambda r: (type(r) is OneSlot, r.only))
def slots_that_are_a_string(i):
    value = OneSlot()
    value.only = i
    return value


@case(3, look=lambda r: (type(r) is DocumentedSlots, r.a))
def slots_that_are_a_mapping(i):
    value = DocumentedSlots()
    value.a = i
    return value


@case(3, look=lambda r: (type(r) is SlotsAndDict, r.a, r.b))
def slots_with_a_dict(i):
    value = SlotsAndDict()
    value.a, value.b = i, i
    return value


@case(3, look=lambda r: (type(r) is Attrs, repr(r)))
def attrs_class(i):
    return Attrs(i, [i])


@case(3, look=lambda r: (type(r) is FrozenAttrs, repr(r)))
def frozen_attrs_class(i):
    return FrozenAttrs(i)


@case(3, look=lambda r: (type(r) is OwnState, r.a))
def slots_with_a_state_of_their_own(i):
    value = OwnState()
    value.a = i
    return value


@case(look=lambda r: (type(r) is SlotsData, r))
def a_class_made_by_make_dataclass():
    made = dataclasses.make_dataclass("Made", [("x", int)], slots=True)
    return SlotsData(made(3).x)


class SlotError(Exception):
    __slots__ = ("code",)

    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code

    def __reduce__(self):
        return SlotError, (self.code,)


@case(3, look=lambda r: (type(r), r.code, str(r)))
def an_exception_with_slots(code):
    try:
        raise SlotError(code)
    except SlotError as error:
        return error


if __name__ == "__main__":
    main()
