"""What stands in the module, and cannot be pickled by itself, of ``__main__`` in tasks; see cases.py."""

from __future__ import annotations

import collections
import contextvars
import re
import threading
import weakref
from typing import Any

import numpy as np
from cases import case, main


class Point:
    def __init__(self, x):
        self.x = x


current = contextvars.ContextVar("current", default=3)
bare = contextvars.ContextVar("bare")
local = threading.local()
pattern = re.compile(r"(\d+)-(\d+)")
registry: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary({Point: "point"})
by_name: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary({"point": Point})
instances: weakref.WeakSet[Any] = weakref.WeakSet()
double = np.vectorize(lambda x: x * 2)
counts: collections.defaultdict[str, list[int]] = collections.defaultdict(list)


class Missing:
    def __repr__(self):
        return "<missing>"

    def __reduce__(self):
        return "MISSING"


MISSING = Missing()


@case(3)
def context_variables(x):
    before = current.get()
    token = current.set(x + 1)
    inside = current.get()
    current.reset(token)
    return (
        before,
        inside,
        current.get(),
        current.name,
        bare.get("nothing"),
        bare in contextvars.copy_context(),
    )


@case(3)
def thread_locals(x):
    local.value = x
    return local.value, hasattr(local, "other")


@case("10-20")
def patterns(text):
    return pattern.match(text).groups()


@case(Point(1))
def weak_registries(point):
    return registry[type(point)], by_name["point"] is Point, len(instances), len(registry)


@case([1, 2])
def numpy_vectorize(values):
    return double(values).tolist()


@case("x")
def default_dictionaries(key):
    counts[key].append(1)
    return dict(counts)


@case(MISSING, look=lambda r: (r[0] is MISSING, r[1:]))
def a_sentinel_that_reduces_to_its_name(value):
    return value, value is MISSING, repr(value)


if __name__ == "__main__":
    main()
