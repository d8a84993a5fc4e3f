"""How an endpoint stands in etcd: a key that can be listed by prefix, and JSON that a person can read."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from iris_actor.registry.endpoint import ActorId, Endpoint


def base_key(prefix: str) -> str:
    """What the keys of all endpoints begin with."""
    return f"{prefix}/endpoints/"


def to_key(prefix: str, endpoint: Endpoint) -> str:
    """``<prefix>/endpoints/<namespace>/<actor name>/<actor id>``."""
    return f"{base_key(prefix)}{endpoint.name}/{endpoint.actor_id}"


def name_of(prefix: str, key: str) -> str:
    """The full actor name in a key."""
    return key[len(base_key(prefix)) :].rpartition("/")[0]


def to_json(endpoint: Endpoint) -> str:
    """The value that stands under the key."""
    return json.dumps(
        {
            "address": endpoint.address,
            "actor_id": endpoint.actor_id,
            "job_id": endpoint.job_id,
            "host": endpoint.host,
            "pid": endpoint.pid,
            "incarnation": endpoint.incarnation,
            "started_at": datetime.fromtimestamp(endpoint.started_at, UTC).isoformat(),
            "metadata": dict(endpoint.metadata),
        }
    )


def from_json(name: str, text: bytes) -> Endpoint | None:
    """The endpoint that a value describes; None for one that is not ours to understand."""
    try:
        values = json.loads(text)
        return Endpoint(
            name=name,
            actor_id=ActorId(values["actor_id"]),
            address=values["address"],
            job_id=values.get("job_id", ""),
            host=values.get("host", ""),
            pid=int(values.get("pid", 0)),
            incarnation=values.get("incarnation", ""),
            started_at=datetime.fromisoformat(values["started_at"]).timestamp(),
            metadata=dict(values.get("metadata", {})),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
