"""Twins: objects that stand for one another in several processes, whichever pickle they arrive in.

For what is nothing but itself (a sentinel, a context variable, a TypeVar): a second copy, made by the next
pickle, would be another one. Each has an id, under which a process knows its own.
"""

from __future__ import annotations

import threading
import uuid
import weakref
from collections.abc import Callable
from typing import Any

_lock = threading.Lock()
_by_id: dict[str, Callable[[], Any]] = {}
_ids: dict[int, str] = {}
"""By the identity of the object: twins need not hash, and may be equal to others."""


def twin(obj: Any, make: Callable[..., Any], *args: Any) -> tuple[Any, ...]:
    """The reduction of `obj`, for processes that make its twin when they first hear of it."""
    with _lock:
        known = _ids.get(id(obj))
        if known is None:
            known = uuid.uuid4().hex
            _remember(known, obj)
    return find_twin, (known, make, args)


def find_twin(known: str, make: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """This process's own; what twins are pickled as."""
    reference = _by_id.get(known)
    found = None if reference is None else reference()
    if found is not None:
        return found
    made = make(*args)
    with _lock:
        reference = _by_id.get(known)
        found = None if reference is None else reference()
        if found is None:
            _remember(known, made)
            found = made
    return found


def _remember(known: str, obj: Any) -> None:
    number = id(obj)

    def forget(_: Any) -> None:  # without the lock: the garbage collector may call it while that is held
        _ids.pop(number, None)
        _by_id.pop(known, None)

    try:
        _by_id[known] = weakref.ref(obj, forget)
    except TypeError:  # context variables; nobody makes those in numbers, since they are never collected
        _by_id[known] = lambda: obj
    _ids[number] = known
