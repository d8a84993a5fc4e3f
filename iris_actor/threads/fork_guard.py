"""ForkGuard: refuses use in a process that was forked from the one that made an object."""

from __future__ import annotations

from os import getpid

from iris_actor.errors import ForkedProcessError


class ForkGuard:
    """Remembers the process it was made in."""

    __slots__ = ("pid",)

    def __init__(self) -> None:
        self.pid = getpid()

    @property
    def forked(self) -> bool:
        """Whether this is another process."""
        return getpid() != self.pid

    def check(self) -> None:
        """Raise ForkedProcessError in another process."""
        if getpid() != self.pid:
            raise ForkedProcessError(self.pid)
