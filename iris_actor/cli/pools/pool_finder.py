"""PoolFinder: which pools can be watched, on this machine or through a registry, and how they are asked."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from iris_actor.cli.connection import REGISTRY_TIMEOUT, Connection
from iris_actor.cli.failures import UsageError

if TYPE_CHECKING:
    from iris_actor import Credentials, Endpoint
    from iris_actor.work.pool.monitor.pool_directory import PoolEntry

ANSWER_TIMEOUT = 2.0
"""Seconds that a driver has to tell how its pool is."""
_MOST_NAMES = 20


class PoolSource(Protocol):
    """Somewhere to look for pools."""

    @property
    def place(self) -> str:
        """Where that is, in words that follow "no pool"."""

    def entries(self) -> list[PoolEntry]:
        """The pools that are there now, in order of their start."""


class LocalPools:
    """This user's pools on this machine."""

    place = "of yours on this machine"

    def entries(self) -> list[PoolEntry]:
        """The pools that are there now, in order of their start."""
        from iris_actor.work.pool.monitor.pool_directory import PoolDirectory

        return PoolDirectory().entries()


@dataclass(frozen=True, slots=True)
class RegistryPools:
    """The pools that are announced in a registry.

    Attributes:
        connection: which registry, and what to show to the drivers.
        namespace: the only one to look into; None for all.
    """

    connection: Connection
    namespace: str | None

    @property
    def place(self) -> str:
        """Where that is, in words that follow "no pool"."""
        return "in the registry" if self.namespace is None else f"in the namespace {self.namespace!r}"

    def entries(self) -> list[PoolEntry]:
        """The pools that are there now, in order of their start.

        Raises:
            RegistryError: the registry does not answer.
        """
        with self.connection.registry() as registry:
            start = f"{self.namespace}/" if self.namespace else ""
            endpoints = registry.list(start, timeout=REGISTRY_TIMEOUT)
        # Who runs the pool on this machine may ask with the token that it made up.
        own = {(e.actor, e.address): e.credentials for e in LocalPools().entries()}
        found = [entry for endpoint in endpoints if (entry := self._entry(endpoint, own)) is not None]
        return sorted(found, key=lambda entry: (entry.started_at, entry.pid))

    def _entry(
        self, endpoint: Endpoint, own: Mapping[tuple[str, str], Credentials | None]
    ) -> PoolEntry | None:
        from iris_actor.work.pool.monitor.pool_directory import PoolEntry
        from iris_actor.work.pool.monitor.pool_monitor import monitor_name

        segments = endpoint.actor_name.split("/")
        if len(segments) != 3 or endpoint.actor_name != monitor_name(segments[1]):
            return None
        return PoolEntry(
            pool=segments[1],
            actor=endpoint.name,
            address=endpoint.address,
            host=endpoint.host,
            pid=endpoint.pid,
            born=None,
            started_at=endpoint.started_at,
            credentials=own.get((endpoint.name, endpoint.address), self.connection.credentials),
        )


def find(target: str, sources: Sequence[PoolSource]) -> tuple[PoolEntry, PoolSource]:
    """The one pool that ``NAME`` or ``NAME@PID`` names, and where it was found.

    Raises:
        ActorNotFoundError: there is none; says which there are.
        UsageError: there are several.
        RegistryError: the registry does not answer.
    """
    from iris_actor.errors import ActorNotFoundError

    name, at, number = target.partition("@")
    if not name or (at and not number.isdecimal()):
        raise UsageError(f"expected NAME or NAME@PID, as in demo@1234, got {target!r}")
    known: list[str] = []
    for source in sources:
        entries = source.entries()
        found = [e for e in entries if e.pool == name and (not at or e.pid == int(number))]
        if len(found) > 1 and len({(e.host, e.pid) for e in found}) > 1:
            listed = ", ".join(f"{e.pool}@{e.pid} (on {e.host}, as /{e.actor})" for e in found[:_MOST_NAMES])
            raise UsageError(f"there are {len(found)} pools named {name!r}, say which: {listed}")
        if found:
            return found[-1], source
        known += [e.pool if entries.count(e) == 1 else f"{e.pool}@{e.pid}" for e in entries]
    places = " or ".join(source.place for source in sources)
    listed = ", ".join(known[:_MOST_NAMES]) + (", ..." if len(known) > _MOST_NAMES else "")
    raise ActorNotFoundError(
        f"there is no pool {target!r} {places}; {f'there is {listed}' if known else 'there are none'}"
    )


def end_of(entry: PoolEntry, source: PoolSource) -> str:
    """How a pool that gives no answer has ended; empty while it may go on."""
    from iris_actor.errors import IrisError

    # A driver that shuts its pool down removes the file.
    lost = entry.file is not None and entry.file.exists() and entry.driver_is_gone
    try:
        there = source.entries()
    except (IrisError, OSError):
        return ""
    if any((e.actor, e.address, e.pid) == (entry.actor, entry.address, entry.pid) for e in there):
        return ""
    if lost:
        return f"pool {entry.pool} is gone: its driver (pid {entry.pid}) ended without shutting it down"
    return f"pool {entry.pool} has ended"


def ask(entry: PoolEntry) -> dict[str, Any]:
    """How the pool is now, as `PoolSnapshot.fields` puts it.

    Raises:
        CallError: one of its kinds, when there is no answer.
    """
    from iris_actor.address import Address
    from iris_actor.errors import ServerUnavailableError
    from iris_actor.rpc.json_call import call_json

    if Address.parse(entry.address).is_loopback and entry.host not in {"", socket.gethostname()}:
        raise ServerUnavailableError(
            f"pool {entry.pool!r} can only be watched on its driver's machine, {entry.host}: its server"
            f" listens at {entry.address}"
        )
    fields: dict[str, Any] = json.loads(
        call_json(
            entry.address,
            entry.actor,
            "status",
            timeout=ANSWER_TIMEOUT,
            credentials=entry.credentials,
        )
    )
    return fields
