"""Enums of ``__main__`` in tasks; see cases.py."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum

from cases import case, main


class Color(enum.Enum):
    RED = 1
    GREEN = enum.auto()
    CRIMSON = RED

    @property
    def low(self):
        return self.name.lower()

    @classmethod
    def _missing_(cls, value):
        return cls.RED if value == "red" else None


class Permission(enum.Flag):
    R = enum.auto()
    W = enum.auto()
    RW = R | W


class Number(enum.IntEnum):
    ONE = 1


class Text(enum.StrEnum):
    HELLO = enum.auto()


class Bits(enum.IntFlag):
    A = 1
    B = 2


class Planet(enum.Enum):
    EARTH = (5.976e24, 6.37814e6)
    MARS = (6.421e23, 3.3972e6)

    def __init__(self, mass, radius):
        self.mass = mass
        self.radius = radius

    @property
    def gravity(self):
        return round(6.67300e-11 * self.mass / (self.radius * self.radius), 2)


class Coordinate(bytes, enum.Enum):
    def __new__(cls, value, label):
        self = bytes.__new__(cls, [value])
        self._value_ = value
        self.label = label
        return self

    X = (0, "x label")
    Y = (1, "y label")


class Unhashable(enum.Enum):
    A = [1]  # noqa: RUF012
    B = {"x": 2}  # noqa: RUF012


class Operation(enum.Enum):
    ADD = enum.member(lambda a, b: a + b)
    FACTOR = enum.nonmember(3)

    def __call__(self, a, b):
        return self.value(a, b)


@dataclasses.dataclass
class Creature:
    size: str
    legs: int = 4


class Animal(Creature, enum.Enum):
    """Members are made by the ``__init__`` of a base."""

    BEETLE = "small", 6
    DOG = "medium"


class Month(enum.Enum):
    @staticmethod
    def _generate_next_value_(name, start, count, last_values):
        return name.lower()

    MAY = enum.auto()
    JUNE = enum.auto()


class Loose(enum.Flag, boundary=enum.KEEP):
    A = 1
    B = 4


class Step(enum.Enum):
    FIRST = 1
    SECOND = 2

    def following(self):
        return Step.SECOND if self is Step.FIRST else self.before

    @property
    def before(self):
        return self._before


Step.SECOND._before = Step.FIRST  # a member that knows another


class Count(int, enum.Enum):
    FEW = 3
    SOME = FEW
    MANY = 100


@case(Color.RED, look=lambda r: (r[0] is Color.GREEN, r[1] is Color.RED, r[2:]))
def an_enum(color):
    assert color is Color.RED
    return Color.GREEN, Color["CRIMSON"], Color("red") is Color.RED, Color.RED.low, list(Color.__members__)


@case(Color.GREEN)
def an_enums_aliases(color):
    return Color.CRIMSON is Color.RED, Color.CRIMSON.name, color.name, len(Color)


@case(Permission.R, look=lambda r: (r[0] is Permission.RW, r[1:], r[0] == Permission.R | Permission.W))
def a_flag(r):
    both = r | Permission.W
    return both, str(both), Permission.RW is both, Permission.R in both, str(~r), list(both)


@case(Number.ONE, look=lambda r: (r[0] is Number.ONE, r[1] is Text.HELLO, r[2] == Bits.A | Bits.B, r[2]))
def enums_with_a_type(one):
    assert one is Number.ONE
    assert one + 1 == 2
    return Number(1), Text("hello"), Bits(3)


@case(Planet.EARTH, look=lambda r: (r[0] is Planet.MARS, r[1:]))
def an_enum_with_an_init(earth):
    assert earth is Planet.EARTH
    return Planet.MARS, earth.mass, earth.gravity, Planet.MARS.radius


@case(Coordinate.Y, look=lambda r: (r[0] is Coordinate.X, r[1:]))
def an_enum_with_a_new(y):
    assert y is Coordinate.Y
    return Coordinate.X, y.label, bytes(y), y.value, Coordinate(0).label


@case(Unhashable.A, look=lambda r: (r[0] is Unhashable.B, r[1:]))
def an_enum_of_unhashable_values(a):
    return Unhashable({"x": 2}), a.value


@case(2)
def an_enum_of_functions(x):
    return Operation.ADD(x, 3), Operation.FACTOR, len(Operation)


@case(Animal.DOG, look=lambda r: (r[0] is Animal.BEETLE, r[1:], r[0].legs))
def an_enum_of_a_dataclass(dog):
    assert dog is Animal.DOG
    return Animal.BEETLE, dog.size, dog.legs, repr(dog)


@case(Month.MAY, look=lambda r: (r[0] is Month.JUNE, r[1:]))
def an_enum_that_makes_its_values(may):
    return Month.JUNE, may.value, Month("june").name


@case(Loose.A, look=lambda r: (r[0] == Loose(11), r[1:]))
def a_flag_with_a_boundary(a):
    return Loose(11), (a | Loose.B).value, Loose(8).value


@case(Step.FIRST, look=lambda r: (r[0] is Step.SECOND, r[1] is Step.FIRST))
def an_enum_whose_members_know_each_other(first):
    return first.following(), Step.SECOND.following()


@case(Count.SOME, look=lambda r: (r[0] is Count.MANY, r[1:]))
def an_enum_of_ints(some):
    return Count.MANY, some is Count.FEW, some + 1, Count(100) + 0, [each.name for each in Count]


class Day(dt.date, enum.Enum):
    FIRST = 2020, 1, 1
    LAST = 2020, 12, 31


@case(Day.LAST, look=lambda r: (r[0] is Day.FIRST, r[1:]))
def an_enum_of_dates(last):
    return Day.FIRST, last.isoformat(), last.value, (last - Day.FIRST).days


if __name__ == "__main__":
    main()
