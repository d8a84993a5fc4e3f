"""Endpoint: where one hosted actor can be called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NewType

ActorId = NewType("ActorId", str)
"""Names one hosted instance of an actor: never used twice, also not by the same name on the same server."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One hosted actor: its address, its actor id, and what helps a person to find it.

    Attributes:
        name: full name, ``namespace/actor name``.
        actor_id: id of this instance.
        address: ``host:port`` that callers connect to.
        job_id: job that hosts it; empty outside a job.
        host: host name of the machine.
        pid: process id there.
        incarnation: id of the server's run; a restarted server has another one.
        started_at: seconds since the epoch when it was registered.
        metadata: the user's own strings.
    """

    name: str
    actor_id: ActorId
    address: str
    job_id: str = ""
    host: str = ""
    pid: int = 0
    incarnation: str = ""
    started_at: float = 0.0
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """The first segment of the name."""
        return self.name.split("/", 1)[0]

    @property
    def actor_name(self) -> str:
        """The name without its namespace."""
        return self.name.split("/", 1)[1]

    def __hash__(self) -> int:
        return hash((self.actor_id, self.address))
