"""EtcdRegistration: one endpoint that this process keeps in etcd."""

from __future__ import annotations

from collections.abc import Callable

from iris_actor.etcd.leased.key import KeyState, LeasedKey
from iris_actor.registry.endpoint import Endpoint
from iris_actor.registry.registry import RegistrationState

_SHOWN = {
    KeyState.WANTED: RegistrationState.LOST,
    KeyState.STANDS: RegistrationState.STANDS,
    KeyState.DOUBTFUL: RegistrationState.LOST,
    KeyState.LOST: RegistrationState.LOST,
    KeyState.LEAVING: RegistrationState.CLOSED,
    KeyState.GONE: RegistrationState.CLOSED,
}


class EtcdRegistration:
    """A `Registration`: an endpoint, and the leased key that announces it.

    Args:
        endpoint: what is announced.
        leased: its key.
        withdraw: removes the key, and waits for that for so many seconds.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        leased: LeasedKey,
        withdraw: Callable[[EtcdRegistration, float | None], None],
    ) -> None:
        self._endpoint = endpoint
        self.leased = leased
        self._withdraw = withdraw

    @property
    def endpoint(self) -> Endpoint:
        """What is announced."""
        return self._endpoint

    @property
    def state(self) -> RegistrationState:
        """Whether it stands now."""
        return _SHOWN[self.leased.state]

    def close(self, timeout: float | None = None) -> None:
        """Withdraw the announcement, if it is still this one's own. Idempotent.

        Args:
            timeout: seconds to wait for etcd, 0.5 when None. What is not done by then is done later, or by
                the end of the lease.
        """
        self._withdraw(self, timeout)

    def __repr__(self) -> str:
        return f"<registration of {self._endpoint.name} {self._endpoint.actor_id}: {self.state.value}>"
