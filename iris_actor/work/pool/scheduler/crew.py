"""Crew: the slots of a pool."""

from __future__ import annotations

from typing import Generic

from iris_actor.work.pool.scheduler.scheduled_task import T
from iris_actor.work.pool.scheduler.slot import Slot, SlotState


class Crew(Generic[T]):
    """The slots of one pool.

    Attributes:
        slots: all of them.
        ready: how many of them take tasks.
    """

    __slots__ = ("_by_process", "_last_process", "ready", "slots")

    def __init__(self) -> None:
        self.slots: list[Slot[T]] = []
        self.ready = 0
        self._by_process: dict[int, Slot[T]] = {}
        self._last_process = 0

    def add(self, count: int) -> None:
        """Add so many slots, with the lowest free numbers."""
        taken = {slot.index for slot in self.slots}
        free = [index for index in range(len(taken) + count) if index not in taken]
        self.slots.extend(Slot(index) for index in free[:count])

    def remove(self, slot: Slot[T]) -> None:
        """A slot is no more."""
        self.slots.remove(slot)
        self._by_process.pop(slot.process, None)
        self.count()

    def begin(self, slot: Slot[T], due: float) -> None:
        """Have a new process fill `slot`, which is to run by `due`; the one before it is forgotten."""
        self._by_process.pop(slot.process, None)
        self._last_process += 1
        slot.begin(self._last_process, due)
        self._by_process[slot.process] = slot

    def forget_process(self, slot: Slot[T]) -> None:
        """Nothing that the process of `slot` still says counts."""
        self._by_process.pop(slot.process, None)

    def get(self, process: int) -> Slot[T] | None:
        """The slot that this process fills; None when that is over."""
        return self._by_process.get(process)

    def count(self) -> None:
        """Count `ready` anew, after a slot's `state` or `retiring` has changed."""
        self.ready = sum(slot.state is SlotState.READY and not slot.retiring for slot in self.slots)

    @property
    def staying(self) -> list[Slot[T]]:
        """Those that are not about to leave."""
        return [slot for slot in self.slots if not slot.retiring]

    @property
    def is_hopeless(self) -> bool:
        """Whether there are slots, and none of them will have a worker again."""
        staying = self.staying
        return bool(staying) and all(slot.state is SlotState.FAILED for slot in staying)
