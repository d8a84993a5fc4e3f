"""EtcdLease: the one lease of a process in etcd, and everything that hangs on it.

A daemon thread asks for it to be kept alive at a third of its TTL, one request at a time with a timeout
of its own, and looks at the TTL in each answer: a stream of keepalives may fail silently (etcd issues
7357 and 10821). A lease that is lost is granted anew and every registration put back under the new one.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from iris_actor.deadline import Deadline
from iris_actor.errors import RegistryError, RegistryUnavailableError
from iris_actor.registry.endpoint import Endpoint
from iris_actor.registry.endpoint_json import to_json, to_key
from iris_actor.registry.etcd_client import EtcdClient
from iris_actor.registry.etcd_stubs import load_etcd3
from iris_actor.registry.registry import RegistrationState
from iris_actor.registry.url import RegistryURL

_RETRY = 0.5
"""Seconds between attempts to reach an etcd that is away."""
_CLOSE_TIMEOUT = 0.5


class EtcdRegistration:
    """A `Registration` in etcd."""

    def __init__(self, lease: EtcdLease, endpoint: Endpoint, key: str) -> None:
        self.endpoint = endpoint
        self.key = key
        self.value = to_json(endpoint)
        self.lease_id = 0  # under which it was last put; 0: not at all
        self.closed = False
        self._lease = lease

    @property
    def state(self) -> RegistrationState:
        """See `Registration.state`."""
        if self.closed:
            return RegistrationState.CLOSED
        return RegistrationState.STANDS if self._lease.holds(self.lease_id) else RegistrationState.LOST

    def close(self, timeout: float | None = None) -> None:
        """See `Registration.close`."""
        if not self.closed:
            self.closed = True
            self._lease.withdraw(self, Deadline.after(_CLOSE_TIMEOUT if timeout is None else timeout))


class EtcdLease:
    """Registrations under one lease. Thread-safe."""

    def __init__(self, client: EtcdClient, url: RegistryURL) -> None:
        self._client = client
        self._url = url
        self._compares = load_etcd3().transactions
        self._lock = threading.RLock()  # guards what follows
        self._registrations: dict[str, EtcdRegistration] = {}
        self._id = 0
        self._good_until = 0.0
        self._granting = threading.Lock()  # one grant at a time
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def holds(self, lease_id: int) -> bool:
        """Whether that lease is the present one and stands, as far as is known."""
        return bool(lease_id) and lease_id == self._id and time.monotonic() < self._good_until

    # --- registrations ------------------------------------------------------------------------------

    def register(self, endpoint: Endpoint, deadline: Deadline) -> EtcdRegistration:
        """Put `endpoint` under the lease; see `Registry.register`."""
        registration = EtcdRegistration(self, endpoint, to_key(self._url.prefix, endpoint))
        with self._lock:
            if self._closed:
                raise RegistryError(f"registry {self._url} is closed")
            self._registrations[registration.key] = registration
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="iris-registry-lease", daemon=True)
                self._thread.start()
        try:
            self._client.run(lambda client, timeout: self._put(client, registration, timeout), deadline)
        except BaseException:
            registration.closed = True
            with self._lock:
                self._registrations.pop(registration.key, None)
            raise
        return registration

    def withdraw(self, registration: EtcdRegistration, deadline: Deadline) -> None:
        """Delete the key if it is still ours; without an error when etcd is away (the lease ends it)."""
        with self._lock:
            self._registrations.pop(registration.key, None)

        def delete(client: Any, _timeout: float) -> None:
            client.transaction(
                compare=[client.transactions.value(registration.key) == registration.value],
                success=[client.transactions.delete(registration.key)],
                failure=[],
            )

        try:
            self._client.run(delete, deadline)
        except RegistryError:
            return

    def _put(self, client: Any, registration: EtcdRegistration, timeout: float) -> None:
        lease_id = self._granted(client, timeout)
        transactions = client.transactions
        put = transactions.put(registration.key, registration.value, lease=lease_id)
        # Ours, under a lease that was lost meanwhile, or nobody's: never somebody else's.
        done, _ = client.transaction(
            compare=[transactions.version(registration.key) == 0], success=[put], failure=[]
        )
        if not done:
            done, _ = client.transaction(
                compare=[transactions.value(registration.key) == registration.value], success=[put], failure=[]
            )
        if not done:
            raise RegistryError(f"{registration.key} is held by another registration")
        registration.lease_id = lease_id
        if registration.closed:  # withdrawn while it was being put
            self.withdraw(registration, Deadline.after(_CLOSE_TIMEOUT))

    def _granted(self, client: Any, _timeout: float) -> int:
        with self._granting:
            if self._id and time.monotonic() < self._good_until:
                return self._id
            asked = time.monotonic()
            lease_id = int(client.lease(self._url.ttl).id)
            with self._lock:
                self._id = lease_id
                self._good_until = asked + self._url.ttl
            return lease_id

    # --- keeping it alive, in its own thread --------------------------------------------------------

    def _keep(self) -> None:
        pause = self._url.ttl / 3
        while not self._wake.wait(pause) and not self._closed:
            try:
                self._client.attempt(self._refresh, self._url.ttl / 3)
                pause = self._url.ttl / 3
            except RegistryUnavailableError:
                pause = min(_RETRY, self._url.ttl / 3)
            except RegistryError:
                # Refused: lease unknown after a wiped etcd, key held by somebody. Start afresh.
                self._lose()
                pause = min(_RETRY, self._url.ttl / 3)

    def _refresh(self, client: Any, timeout: float) -> None:
        lease_id = self._id
        if lease_id:
            asked = time.monotonic()
            left = self._keepalive(client, lease_id, timeout)
            if left > 0:
                with self._lock:
                    if lease_id == self._id:
                        self._good_until = asked + left
            else:
                self._lose()
        with self._lock:
            missing = [each for each in self._registrations.values() if each.lease_id != self._id or not self._id]
        for registration in missing:
            if not registration.closed:
                self._put(client, registration, timeout)

    @staticmethod
    def _keepalive(client: Any, lease_id: int, timeout: float) -> int:
        request = load_etcd3().etcdrpc.LeaseKeepAliveRequest(ID=lease_id)
        answers = client.leasestub.LeaseKeepAlive(
            iter([request]), timeout, credentials=client.call_credentials, metadata=client.metadata
        )
        return int(next(answers).TTL)

    def _lose(self) -> None:
        with self._lock:
            self._id = 0
            self._good_until = 0.0

    def close(self) -> None:
        """Revoke the lease, which withdraws every registration. Idempotent, never long."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            registrations = list(self._registrations.values())
            self._registrations.clear()
            lease_id, self._id = self._id, 0
        for registration in registrations:
            registration.closed = True
        self._wake.set()
        if lease_id:
            try:
                self._client.attempt(lambda client, _: client.revoke_lease(lease_id), _CLOSE_TIMEOUT)
            except RegistryError:
                pass  # etcd ends the lease by itself
