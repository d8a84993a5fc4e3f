"""Functions behind something of ``__main__`` in tasks; see cases.py."""

from __future__ import annotations

import functools
import operator

from cases import CASES, case, main


class Point:
    def __init__(self, x):
        self.x = x


@functools.cache
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


@functools.lru_cache(maxsize=7, typed=True)
def typed(n):
    return n


@functools.cache
def cached(n):
    return n * 2


typed.label = "an attribute"


@case(30)
def uses_a_cached_function(n):
    return fib(n)


CASES["a_cached_function"] = (fib, (30,), repr)
CASES["a_function_behind_cache"] = (cached, (4,), repr)


@case()
def a_cache_starts_empty_with_its_parameters():
    before = typed.cache_info()
    typed(1), typed(1.0), typed(1)
    return (
        tuple(before),
        tuple(typed.cache_info()),
        typed.cache_parameters(),
        typed.label,
        typed.__wrapped__(3),
        typed.__name__,
    )


class WithCaches:
    def __init__(self, x):
        self.x = x

    @functools.lru_cache  # noqa: B019
    def method(self, y):
        return self.x + y

    @functools.cached_property
    def slow(self):
        return self.x * 10

    @functools.singledispatchmethod
    def kind(self, value):
        return "other"

    @kind.register
    def _(self, value: int):
        return "int"

    @functools.partialmethod
    def nothing(self):
        return None

    def add(self, a, b):
        return a + b + self.x

    add_one = functools.partialmethod(add, 1)


@case(WithCaches(2), look=repr)
def caches_in_a_class(value):
    again = WithCaches(5)
    return (
        value.method(1), value.method(1), tuple(WithCaches.method.cache_info()), value.slow, vars(value),
        value.kind(1), value.kind("x"), again.add_one(2), again.slow,
    )  # fmt: skip


@functools.singledispatch
def kind(x):
    return "other"


@kind.register
def _(x: int):
    return "int"


@kind.register
def _(x: Point):
    return f"point and {kind(x.x)}"


@case(3)
def uses_singledispatch(x):
    return (
        kind(x),
        kind(Point(1)),
        kind("x"),
        kind.dispatch(int)(1),
        sorted(each.__name__ for each in kind.registry),
    )


CASES["singledispatch"] = (kind, (3,), repr)


def _add(a, b, c=0):
    return a + b + c


add_two = functools.partial(_add, 2)
CASES["partial"] = (add_two, (3,), repr)


@case(3)
def uses_partial(x):
    return add_two(x, c=1), functools.partial(add_two, c=5)(x)


@functools.total_ordering
class Ordered:
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return self.x == other.x

    def __lt__(self, other):
        return self.x < other.x

    def __hash__(self):
        return hash(self.x)


@case(Ordered(2))
def total_ordering(value):
    return value >= Ordered(1), value > Ordered(2), value <= Ordered(3), max([value, Ordered(9)]).x


def logged(function):
    @functools.wraps(function)
    def inner(*args):
        inner.calls += 1
        return function(*args)

    inner.calls = 0
    return inner


@logged
def wrapped(x):
    return x + 1


CASES["wrapped"] = (wrapped, (3,), repr)


@case(1)
def uses_wrapped(x):
    wrapped.calls = 0
    wrapped(x)
    return wrapped(x), wrapped.calls, wrapped.__wrapped__(x), wrapped.__name__


@case(look=lambda r: [each.x for each in r])
def getters():
    values = [Point(2), Point(1)]
    return sorted(values, key=operator.attrgetter("x"))


get_x = operator.attrgetter("x")
first = operator.itemgetter(0)
upper = operator.methodcaller("upper")


@case(Point(4))
def getters_of_the_module(p):
    return get_x(p), first([7]), upper("a")


@case(functools.partial(fib), look=repr)
def a_cached_function_inside_an_argument(function):
    return function(10)


if __name__ == "__main__":
    main()
