"""Definition: what is sent to a worker once, under a number by which tasks refer to it.

Functions are, and objects that `WorkerPool.put` shares. When neither the caller nor a task refers to one any
more, its number is noted, and workers are told to drop their copies.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable

from iris_actor.codec import Body


class Definitions:
    """Numbers for the definitions of one pool. Thread-safe.

    Attributes:
        forgotten: numbers that no task will use again; whoever tells the workers takes them out.
        shared: whether objects were put, so that tasks may need them.
    """

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self.forgotten: deque[int] = deque()
        self.shared = False

    def next_id(self) -> int:
        """A number that was never used."""
        return next(self._ids)


class Definition:
    """One definition.

    Attributes:
        id: its number in this pool; 0 for what travels with each of its tasks.
        body: its pickle; None where `id` is 0.
        needs: definitions that its pickle refers to.
        owner: the numbers of its pool.
    """

    __slots__ = ("__weakref__", "body", "id", "needs", "owner")

    def __init__(
        self, definitions: Definitions, number: int, body: Body | None, needs: tuple[Definition, ...]
    ) -> None:
        self.id = number
        self.body = body
        self.needs = needs
        self.owner = definitions

    def __del__(self) -> None:
        if getattr(self, "id", 0):  # one whose pickling failed has none
            self.owner.forgotten.append(self.id)


def with_needs(found: Iterable[Definition]) -> tuple[Definition, ...]:
    """`found` and all that they need, each once, and behind what it needs."""
    ordered: dict[int, Definition] = {}
    for each in found:
        ordered.update((need.id, need) for need in each.needs)
        ordered[each.id] = each
    return tuple(ordered.values())
