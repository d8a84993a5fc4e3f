"""EtcdLease: the one lease of this process, and the id of the data that it is in."""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from iris_actor.deadline import Deadline
from iris_actor.registry.endpoint_keys import EndpointKeys
from iris_actor.registry.etcd_connection import Client, EtcdConnection
from iris_actor.registry.etcd_failure import LeaseGoneError
from iris_actor.registry.etcd_stubs import etcdrpc
from iris_actor.registry.url import RegistryURL

T = TypeVar("T")


class EtcdLease:
    """Belongs to one thread. There is none until `ensure`.

    Each keepalive is a call with a timeout of its own, and the TTL in its answer counts: a stream of
    keepalives may stop being read, or sent, without an error (etcd 7357, 10821), and an answer with TTL 0
    says that the lease is gone.

    Attributes:
        id: etcd's number for it; 0 while there is none.
        granted: every lease that this process had here.
        beat: seconds between keepalives.
        beat_at: when the next one is due, by the monotonic clock.
        expires: until when it certainly lives.
    """

    def __init__(self, url: RegistryURL, connection: EtcdConnection) -> None:
        self._url = url
        self._store = EndpointKeys(url.prefix).store
        self._connection = connection
        self._marked = False
        self.id = 0
        self.granted: set[int] = set()
        self.beat = url.ttl / 3
        self.beat_at = 0.0
        self.expires = 0.0

    @property
    def beat_due(self) -> bool:
        """Whether it is time for a keepalive."""
        return bool(self.id) and time.monotonic() >= self.beat_at

    def call(self, operation: Callable[[Client], T], doing: str) -> T:
        """``operation(client)``, within a time that leaves some for the next keepalive.

        Raises:
            RegistryUnavailableError: etcd did not answer.
            RegistryError: it refused; LeaseGoneError when that is for want of the lease.
        """
        timeout = min(max(self._url.ttl / 3, 0.5), 5.0)
        return self._connection.call(operation, Deadline.after(timeout), doing)

    def ensure(self) -> None:
        """Grant it where there is none, and give etcd's data an id, unless they have one.

        By that id watches tell when they are not the same data any more.
        """
        if not self.id:
            sent = time.monotonic()
            lease = self.call(lambda client: client.lease(self._url.ttl), "granting a lease")
            self.id, self.beat = lease.id, lease.ttl / 3
            self.granted.add(lease.id)
            self.expires, self.beat_at = sent + lease.ttl, sent + self.beat
            self._marked = False
        if not self._marked:
            text = json.dumps({"id": uuid.uuid4().hex, "made_by": socket.gethostname()})
            self.call(lambda client: client.put_if_not_exists(self._store, text), "marking the store")
            self._marked = True

    def keep_alive(self) -> frozenset[bytes]:
        """Keep it alive; returns the keys that are on it.

        Raises:
            LeaseGoneError: it has ended.
        """
        lease = self.id
        sent = time.monotonic()
        answer = self.call(lambda client: _keep_alive(client, lease), "keeping the lease alive")
        if answer.TTL <= 0:
            raise LeaseGoneError(f"lease {lease:x} has ended")
        self.expires, self.beat_at = sent + answer.TTL, sent + self.beat
        return self.call(
            lambda client: frozenset(client.get_lease_info(lease).keys), "looking after what is announced"
        )

    def lost(self) -> None:
        """Note that it has ended."""
        self.id = 0

    def revoke(self, timeout: float) -> None:
        """End it now, and with it all keys that are on it.

        Args:
            timeout: seconds to try.
        """
        lease = self.id
        if lease:
            self._connection.call(
                lambda client: client.revoke_lease(lease), Deadline.after(timeout), "revoking the lease"
            )


def _keep_alive(client: Client, lease: int) -> Any:
    """Ask once.

    etcd has a stream for this, and a stream with one request and one answer is, on the wire, a plain call.
    For a stream gRPC would start two threads each time, which a process that is at the limit of its memory
    cannot do, and waits for ever for the one that did not come up.
    """
    call = client.channel.unary_unary(
        "/etcdserverpb.Lease/LeaseKeepAlive",
        request_serializer=etcdrpc.LeaseKeepAliveRequest.SerializeToString,
        response_deserializer=etcdrpc.LeaseKeepAliveResponse.FromString,
    )
    return call(etcdrpc.LeaseKeepAliveRequest(ID=lease), client.timeout, metadata=client.metadata)
