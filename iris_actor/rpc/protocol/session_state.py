"""SessionState: where a session stands, on either side. Pure.

::

    NEW ──► OPEN ◄──► PARKED
     │        │          │
     └────────┴──────────┴──► CLOSED
"""

from __future__ import annotations

from enum import Enum


class SessionState(Enum):
    """Where a session stands."""

    NEW = "new"
    """No stream has carried it yet."""
    OPEN = "open"
    """A stream carries it."""
    PARKED = "parked"
    """Its stream broke; another one may take it up while the resume window is open."""
    CLOSED = "closed"
    """It is of no more use."""

    def to(self, following: SessionState) -> SessionState:
        """`following`, which must be a state that this one can lead to.

        Raises:
            ValueError: it is not: a fault of whoever drives the session.
        """
        if following is not self and following not in _FOLLOWING[self]:
            raise ValueError(f"a session that is {self.value} cannot become {following.value}")
        return following


_FOLLOWING = {
    SessionState.NEW: {SessionState.OPEN, SessionState.CLOSED},
    SessionState.OPEN: {SessionState.PARKED, SessionState.CLOSED},
    SessionState.PARKED: {SessionState.OPEN, SessionState.CLOSED},
    SessionState.CLOSED: set[SessionState](),
}
