"""LeaseCalls: does what a LeasePlan asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from iris_actor.deadline import Deadline
from iris_actor.etcd.connection.etcd_connection import EtcdConnection
from iris_actor.etcd.connection.member import Client
from iris_actor.etcd.connection.reachability import Reachability
from iris_actor.etcd.data_id import data_id_key, new_data_id
from iris_actor.etcd.errors import KeyTakenError, LeaseGoneError
from iris_actor.etcd.leased.actions import PutFree, PutOwn
from iris_actor.etcd.leased.key import LeasedKey
from iris_actor.etcd.stubs import etcdrpc
from iris_actor.etcd.transactions import put_if_free, put_if_own, remove_if_held
from iris_actor.etcd.url import EtcdURL

T = TypeVar("T")


class LeaseCalls:
    """Thread-safe. Has a connection of its own, which nothing else can delay.

    Every method may raise:

    - RegistryUnavailableError: etcd did not answer.
    - LeaseGoneError: the lease that it needs does not exist any more.
    - RegistryError: etcd refused.

    Args:
        url: of the etcd.
        reachability: of the etcd.
    """

    def __init__(self, url: EtcdURL, reachability: Reachability) -> None:
        self._url = url
        # Two endpoints that are silent must not cost the lease.
        attempt = url.ttl / 6 if len(url.hosts) > 1 else url.ttl / 3
        self._connection = EtcdConnection(url, reachability, attempt_timeout=min(max(attempt, 0.5), 2.0))
        # Leaves time for the next keepalive.
        self._timeout = min(max(url.ttl / 3, 0.5), 5.0)

    def _call(self, operation: Callable[[Client], T], doing: str) -> T:
        return self._connection.call(operation, Deadline.after(self._timeout), doing)

    def grant(self) -> tuple[int, int]:
        """A new lease, and the seconds that etcd lets it live."""
        lease = self._call(lambda client: client.lease(self._url.ttl), "granting a lease")
        return lease.id, lease.ttl

    def mark(self) -> None:
        """Give the data an id, unless they have one."""
        key, text = data_id_key(self._url.prefix), new_data_id()
        self._call(lambda client: client.put_if_not_exists(key, text), "marking the store")

    def keep_alive(self, lease: int) -> int:
        """Keep `lease` alive; the seconds that it lives from now on.

        Each keepalive is a call with a timeout of its own, and the TTL in its answer counts: a stream of
        keepalives may stop being read, or sent, without an error (etcd 7357, 10821), and an answer with TTL
        0 says that the lease is gone.
        """
        answer = self._call(lambda client: _keep_alive(client, lease), "keeping the lease alive")
        if answer.TTL <= 0:
            raise LeaseGoneError(f"lease {lease:x} has ended")
        return int(answer.TTL)

    def keys_on(self, lease: int) -> frozenset[bytes]:
        """The keys that are on `lease`."""
        return self._call(
            lambda client: frozenset(client.get_lease_info(lease).keys), "looking after what is announced"
        )

    def put_free(self, request: PutFree) -> bool:
        """Put several keys, unless one of them exists; whether they were put."""
        pairs = [(leased.key, leased.value) for leased in request.keys]
        doing = f"registering {request.keys[0].name}"
        return self._call(lambda client: put_if_free(client, pairs, request.lease), doing)

    def put_own(self, request: PutOwn) -> None:
        """Put one key that is free, our own or to be replaced.

        Raises:
            KeyTakenError: it is another process's.
        """
        leased, lease, own = request.key, request.lease, request.own
        done = self._call(
            lambda client: put_if_own(client, leased.key, leased.value, lease, own, leased.previous),
            f"registering {leased.name}",
        )
        if not done:
            raise KeyTakenError(str(self._url), leased.key)

    def delete(self, leased: LeasedKey, lease: int) -> None:
        """Delete a key if it is on `lease`."""
        self._call(lambda client: remove_if_held(client, leased.key, lease), f"withdrawing {leased.name}")

    def revoke(self, lease: int, timeout: float) -> None:
        """End `lease` now, and with it all keys that are on it; give up after `timeout` seconds."""
        self._connection.call(
            lambda client: client.revoke_lease(lease), Deadline.after(timeout), "revoking the lease"
        )

    def close(self) -> None:
        """End what is under way. Idempotent."""
        self._connection.close()


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
