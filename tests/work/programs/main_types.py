"""Tuples, dictionaries, generics and protocols of ``__main__`` in tasks; see cases.py."""

from __future__ import annotations

import collections
import sys
import typing
from collections.abc import Callable
from typing import Generic, NamedTuple, NewType, ParamSpec, Protocol, TypedDict, TypeVar

from cases import CASES, case, main

Pair = collections.namedtuple("Pair", "a b", defaults=[5])  # noqa: PYI024


class Row(NamedTuple):
    """A row."""

    a: int
    b: str = "x"

    def both(self):
        return f"{self.a}{self.b}"


class Options(TypedDict, total=False):
    depth: int


T = TypeVar("T")
P = ParamSpec("P")
UserId = NewType("UserId", int)
Number_ = TypeVar("Number_", bound="int | float")


class Box(Generic[T]):
    def __init__(self, item: T) -> None:
        self.item = item


class IntBox(Box[int]):
    pass


@typing.runtime_checkable
class Sized(Protocol):
    def __len__(self) -> int: ...


class Decorator(Generic[P, T]):
    def __init__(self, function: Callable[P, T]) -> None:
        self.function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.function(*args, **kwargs)


@Decorator
def decorated(x):
    return x * 3


CASES["an_object_that_wraps_a_function"] = (decorated, (3,), repr)


@case(Pair(1), look=lambda r: (type(r) is Pair, r))
def a_namedtuple(pair):
    assert pair.a == 1
    return Pair(pair.b)._replace(b=2)


@case(Row(1), look=lambda r: (type(r) is Row, r, r.both()))
def a_typed_namedtuple(row):
    return Row(row.a + 1, row.both())


@case()
def what_a_typed_namedtuple_knows():
    return Row._fields, Row._field_defaults, Row.__doc__, sorted(Row.__annotations__)


@case({"depth": 3})
def a_typed_dict(options):
    return (
        Options(options),
        Options.__total__,
        sorted(Options.__annotations__),
        sorted(Options.__optional_keys__),
    )


@case(IntBox(3), look=lambda r: (type(r[0]) is IntBox, type(r[1]) is Box, r[0].item, r[2:]))
def generics(box):
    assert isinstance(box, Box)
    return box, Box[str]("x"), IntBox.__orig_bases__ == (Box[int],), Box.__parameters__ == (T,)


@case(3)
def a_new_type(x):
    return UserId(x), UserId.__name__, UserId.__supertype__


@case(3)
def type_variables(x):
    return T.__name__, P.__name__, P.args is not None, str(Number_)


@case(T, look=lambda r: r is T)
def a_type_variable_comes_back(variable):
    return variable


@case(P, look=lambda r: r is P)
def a_parameter_specification_comes_back(variable):
    return variable


@case(UserId, look=lambda r: r is UserId)
def a_new_type_comes_back(new_type):
    return new_type


@case([1, 2])
def protocols(value):
    return isinstance(value, Sized), isinstance(3, Sized)


if sys.version_info >= (3, 12):
    exec(  # its syntax is none for 3.11
        """
class NewBox[T]:
    def __init__(self, item: T) -> None:
        self.item = item

type Items[T] = list[T]

@case(NewBox(3), look=lambda r: (type(r[0]) is NewBox, r[0].item, r[1:]))
def new_style_generics(box):
    return NewBox[int](4), str(NewBox.__type_params__), Items.__name__, str(Items[int])
"""
    )


if __name__ == "__main__":
    main()
