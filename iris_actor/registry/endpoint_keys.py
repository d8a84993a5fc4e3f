"""EndpointKeys: where endpoints are in etcd, and what their values look like.

::

    <prefix>/endpoints/<namespace>/<actor name>/<actor id>   JSON, one endpoint
    <prefix>/store                                           JSON, the id of this etcd's data
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from iris_actor.errors import InvalidNameError
from iris_actor.naming import qualify
from iris_actor.registry.endpoint import ActorId, Endpoint

_log = logging.getLogger(__name__)


def check_endpoint(endpoint: Endpoint) -> None:
    """Refuse an endpoint that cannot be stored.

    Raises:
        InvalidNameError: (a ValueError) when its name or actor id breaks the naming rule.
    """
    qualify(f"/{endpoint.name}", "", framework=True)
    if "/" in endpoint.actor_id:
        raise InvalidNameError(endpoint.actor_id, endpoint.actor_id, "an actor id is a single segment")
    qualify(f"/_/{endpoint.actor_id}", "", framework=True)


def range_end(prefix: bytes) -> bytes:
    """The end of the range of keys that begin with `prefix`."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


@dataclass(frozen=True, slots=True)
class EndpointKeys:
    """Translates between endpoints and etcd's keys and values below `prefix`."""

    prefix: str

    @property
    def store(self) -> bytes:
        """Key of the id of the data: another id is another history of revisions."""
        return f"{self.prefix}/store".encode()

    def below(self, names: str) -> bytes:
        """What the keys begin with of all endpoints whose full name begins with `names`."""
        return f"{self.prefix}/endpoints/{names}".encode()

    def key(self, endpoint: Endpoint) -> bytes:
        """The key of `endpoint`."""
        return self.below(f"{endpoint.name}/{endpoint.actor_id}")

    def split(self, key: bytes) -> tuple[str, ActorId]:
        """Full name and actor id that `key` stands for; both empty for a key of another kind."""
        rest = key.decode(errors="replace").removeprefix(f"{self.prefix}/endpoints/")
        name, _, actor_id = rest.rpartition("/")
        return (name, ActorId(actor_id)) if "/" in name else ("", ActorId(""))

    def decode(self, key: bytes, value: bytes) -> Endpoint | None:
        """The endpoint stored under `key`; None, when it is none."""
        name, actor_id = self.split(key)
        if not name:
            return None
        try:
            record = json.loads(value)
            return Endpoint(
                name=name,
                actor_id=actor_id,
                address=str(record["address"]),
                job_id=str(record.get("job_id", "")),
                host=str(record.get("host", "")),
                pid=int(record.get("pid", 0)),
                incarnation=str(record.get("incarnation", "")),
                started_at=float(record.get("started_at", 0.0)),
                metadata=dict(record.get("metadata", {})),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            _log.warning("no endpoint in the registry under %r: %r", key, error)
            return None


def encode(endpoint: Endpoint) -> bytes:
    """The value of `endpoint`: JSON for people too."""
    record = {
        "address": endpoint.address,
        "actor_id": endpoint.actor_id,
        "job_id": endpoint.job_id,
        "host": endpoint.host,
        "pid": endpoint.pid,
        "incarnation": endpoint.incarnation,
        "started": datetime.fromtimestamp(endpoint.started_at, UTC).isoformat(timespec="seconds"),
        "started_at": endpoint.started_at,
        "metadata": dict(endpoint.metadata),
    }
    return json.dumps(record, ensure_ascii=False).encode()
