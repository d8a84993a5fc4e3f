"""EtcdRegistration: one endpoint that this process keeps in etcd."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from iris_actor.registry.endpoint import Endpoint
from iris_actor.registry.endpoint_keys import encode
from iris_actor.registry.registry import RegistrationState


class Wish(Enum):
    """What is to be done about a registration's key."""

    PUT = "put"
    KEEP = "keep"
    REMOVE = "remove"
    NOTHING = "nothing"


class EtcdRegistration:
    """A `Registration`. Its fields are guarded by the announcer's lock.

    Args:
        endpoint: what is announced.
        key: where.
        withdraw: the announcer's `withdraw`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        key: bytes,
        withdraw: Callable[[EtcdRegistration, float | None], None],
    ) -> None:
        self._endpoint = endpoint
        self._withdraw = withdraw
        self.key = key
        self.value = encode(endpoint)
        self.wish = Wish.PUT
        self.shown = RegistrationState.LOST
        self.lease = 0
        """Lease under which it was put, or may have been put: an attempt counts."""
        self.removals = 1
        """How often it is still to be removed: a put of unknown outcome may come late."""
        self.stood = False
        """Whether it stood once: from then on failures are retried instead of raised."""
        self.error: Exception | None = None

    @property
    def endpoint(self) -> Endpoint:
        """What is announced."""
        return self._endpoint

    @property
    def state(self) -> RegistrationState:
        """Whether it stands now."""
        return self.shown

    def close(self, timeout: float | None = None) -> None:
        """Withdraw the announcement, if it is still this one's own. Idempotent.

        Args:
            timeout: seconds to wait for etcd, 0.5 when None. What is not done by then is done later, or by
                the end of the lease.
        """
        self._withdraw(self, timeout)

    def __repr__(self) -> str:
        return f"<registration of {self._endpoint.name} {self._endpoint.actor_id}: {self.shown.value}>"
