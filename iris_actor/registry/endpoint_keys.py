"""EndpointKeys: where endpoints are in etcd, and what their values look like.

::

    <prefix>/endpoints/<namespace>/<actor name>/<actor id>   JSON, one endpoint
"""

from __future__ import annotations

import json
import logging
import math
import threading
from datetime import UTC, datetime

from iris_actor.address import Address
from iris_actor.errors import InvalidNameError
from iris_actor.naming import qualify
from iris_actor.registry.endpoint import ActorId, Endpoint

_log = logging.getLogger(__name__)

MOST_WARNINGS = 50
"""Keys of which the log speaks; a folder of thousands of foreign keys must not fill it."""


def check_endpoint(endpoint: Endpoint) -> None:
    """Refuse an endpoint that cannot be stored.

    Raises:
        InvalidNameError: (a ValueError) when its name or actor id breaks the naming rule.
    """
    _check(endpoint.name, endpoint.actor_id)


def _check(name: str, actor_id: str) -> None:
    qualify(f"/{name}", "", framework=True)
    if "/" in actor_id:
        raise InvalidNameError(actor_id, actor_id, "an actor id is a single segment")
    qualify(f"/_/{actor_id}", "", framework=True)


class EndpointKeys:
    """Translates between endpoints and etcd's keys and values below `prefix`. Thread-safe.

    Anybody may write to etcd, and other versions of this package do. So a key or value that is no endpoint's
    is passed over, whatever it is, with one warning for each key however often it is read.

    Args:
        prefix: what every key begins with.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._lock = threading.Lock()
        self._passed_over: set[bytes] = set()  # keys that were warned of

    def below(self, names: str) -> bytes:
        """What the keys begin with of all endpoints whose full name begins with `names`."""
        return f"{self.prefix}/endpoints/{names}".encode()

    def key(self, endpoint: Endpoint) -> bytes:
        """The key of `endpoint`."""
        return self.below(f"{endpoint.name}/{endpoint.actor_id}")

    def split(self, key: bytes) -> tuple[str, ActorId] | None:
        """Full name and actor id that `key` stands for; None for a key of another kind."""
        try:
            name, _, actor_id = key.decode().removeprefix(f"{self.prefix}/endpoints/").rpartition("/")
            _check(name, actor_id)
        except ValueError:
            return None
        return name, ActorId(actor_id)

    def decode(self, key: bytes, value: bytes) -> Endpoint | None:
        """The endpoint stored under `key`; None, when it is none."""
        place = self.split(key)
        if place is None:
            self._pass_over(key, "the key has another form")
            return None
        try:
            return _decode(*place, value)
        # Not only ValueError: nothing bounds what JSON may hold, its depth included.
        except Exception as error:
            self._pass_over(key, f"{type(error).__name__}: {error}")
            return None

    def _pass_over(self, key: bytes, reason: str) -> None:
        with self._lock:
            if key in self._passed_over or len(self._passed_over) > MOST_WARNINGS:
                return
            self._passed_over.add(key)
            last = len(self._passed_over) > MOST_WARNINGS
        if last:
            _log.warning("more keys below %s/ hold no endpoint, and are passed over", self.prefix)
        else:
            _log.warning("no endpoint in the registry under %r, passed over: %.200s", key, reason)


def _decode(name: str, actor_id: ActorId, value: bytes) -> Endpoint:
    record = json.loads(value)
    started_at = float(record.get("started_at", 0.0))
    if not math.isfinite(started_at):
        raise ValueError(f"started_at is {started_at}")
    return Endpoint(
        name=name,
        actor_id=actor_id,
        address=str(Address.parse(record["address"])),
        job_id=str(record.get("job_id", "")),
        host=str(record.get("host", "")),
        pid=int(record.get("pid", 0)),
        incarnation=str(record.get("incarnation", "")),
        started_at=started_at,
        metadata={str(name): str(text) for name, text in dict(record.get("metadata", {})).items()},
    )


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
