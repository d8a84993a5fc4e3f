"""StreamOrder: items of one stream in the order they were sent, though large ones arrive after small ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from iris_actor.codec import Body


class _Slot:
    __slots__ = ("action", "body")

    def __init__(self, action: Callable[[Body], None]) -> None:
        self.action = action
        self.body: Body | None = None


class StreamOrder:
    """Runs actions in the order of their slots, each once its body is there. For the I/O thread."""

    __slots__ = ("_slots",)

    def __init__(self) -> None:
        self._slots: deque[_Slot] = deque()

    def slot(self, action: Callable[[Body], None]) -> Callable[[Body], None]:
        """Take the next place; what is returned fills it with its body, at any later time."""
        slot = _Slot(action)
        self._slots.append(slot)

        def fill(body: Body) -> None:
            slot.body = body
            slots = self._slots
            while slots and slots[0].body is not None:
                done = slots.popleft()
                done.action(done.body)  # type: ignore[arg-type]

        return fill
