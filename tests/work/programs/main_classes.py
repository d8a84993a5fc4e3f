"""Classes of ``__main__`` in tasks; see cases.py."""

from __future__ import annotations

import abc
import typing

from cases import CASES, case, main


class Shape(abc.ABC):
    @property
    @abc.abstractmethod
    def area(self): ...


class Square(Shape):
    def __init__(self, a):
        self.a = a

    @property
    def area(self):
        return self.a**2


Shape.register(int)


@case(Square(3), look=lambda r: (type(r[0]) is Square, isinstance(r[0], Shape), r[1:]))
def abstract_classes(square):
    try:
        Shape()
    except TypeError:
        return Square(2), square.area, isinstance(3, Shape), isinstance("x", Shape)
    return None


class Meta(type):
    def __new__(mcls, name, bases, namespace, tag="none"):
        cls = super().__new__(mcls, name, bases, namespace)
        cls.tag = tag
        return cls

    def __init__(cls, name, bases, namespace, tag="none"):
        super().__init__(name, bases, namespace)

    def __len__(cls):
        return 7


class WithMeta(metaclass=Meta, tag="mine"):
    pass


class Plugin:
    registry: typing.ClassVar[list[str]] = []

    def __init_subclass__(cls, *, key, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.key = key
        Plugin.registry.append(key)


class Csv(Plugin, key="csv"):
    pass


class Named:
    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner):
        return self.name


class WithDescriptor:
    field = Named()


class Outer:
    class Inner:
        class Deep:
            def __init__(self, x):
                self.x = x

    def make(self, x):
        return Outer.Inner.Deep(x)


class Left:
    def other(self):
        return Right()


class Right:
    def other(self):
        return Left()


class Managed:
    made = 0

    def __init__(self):
        type(self).made += 1
        self._x = 1

    @classmethod
    def create(cls):
        return cls()

    @staticmethod
    def double(x):
        return x * 2

    @property
    def x(self):
        return self._x

    @x.setter
    def x(self, value):
        self._x = value


@case(WithMeta(), look=lambda r: (type(r[0]) is WithMeta, r[1:]))
def metaclasses(value):
    return WithMeta(), len(WithMeta), WithMeta.tag, type(type(value)) is Meta


@case(Csv(), look=lambda r: (type(r[0]) is Csv, r[1:]))
def a_class_with_keywords(value):
    return Csv(), Csv.key, issubclass(Csv, Plugin), Plugin.registry


@case(WithDescriptor())
def descriptors_that_know_their_name(value):
    return value.field, WithDescriptor.field


@case(Outer.Inner.Deep(1), look=lambda r: (type(r[0]) is Outer.Inner.Deep, r[0].x, r[1:]))
def nested_classes(value):
    return Outer().make(value.x + 1), type(value) is Outer.Inner.Deep, type(value).__qualname__


@case(Left(), look=lambda r: type(r) is Left)
def classes_that_refer_to_each_other(value):
    return value.other().other()


@case(Managed())
def class_and_static_methods_and_properties(value):
    value.x = 5
    return value.x, Managed.create().x, Managed.double(4), value.create().double(2)


CASES["a_class_method"] = (Managed.create, (), lambda r: type(r) is Managed)
CASES["a_static_method"] = (Managed.double, (4,), repr)
CASES["a_bound_method"] = (Outer().make, (4,), lambda r: (type(r) is Outer.Inner.Deep, r.x))
CASES["a_class"] = (Square, (4,), lambda r: (type(r) is Square, r.area))


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n > 0 and even(n - 1)


CASES["functions_that_call_each_other"] = (even, (10,), repr)


if __name__ == "__main__":
    main()
