"""LostErrors: exceptions that the inputs of a pool's maps raised, until somebody was told."""

from __future__ import annotations

import logging
from weakref import WeakSet

_log = logging.getLogger(__name__)

_all: WeakSet[LostErrors] = WeakSet()


class LostErrors:
    """Exceptions of which nobody was told. Thread-safe. Those that are left when it goes are logged.

    They hold the frames that they came through, and with them the pool: only the pool and its maps may hold
    this object, or a pool that is dropped would live on.
    """

    def __init__(self) -> None:
        self._errors: dict[int, BaseException] = {}
        _all.add(self)

    def add(self, error: BaseException) -> None:
        """An input raised `error`."""
        self._errors[id(error)] = error

    def discard(self, error: BaseException | None) -> None:
        """Somebody was told of `error`."""
        self._errors.pop(id(error), None)

    def take(self) -> BaseException | None:
        """The first of them, if there is any, for the caller to raise; the others are logged."""
        first = next(iter(self._errors.values()), None)
        self.discard(first)
        self.log()
        return first

    def log(self) -> None:
        """Log all of them."""
        while self._errors:
            _, error = self._errors.popitem()
            _log.error("the input of a map raised, and nobody has asked for the result there", exc_info=error)

    def __del__(self) -> None:
        self.log()


def log_lost_errors() -> None:
    """Log those of all pools."""
    for lost in list(_all):
        lost.log()
