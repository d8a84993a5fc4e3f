"""What is written to etcd: each write compares first, so that only a key's owner changes it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from iris_actor.etcd.connection.member import Client
from iris_actor.etcd.stubs import etcd3, etcdrpc


class _Lease(etcd3.transactions.BaseCompare):  # type: ignore[misc]
    """Compares the lease of a key: etcd can, etcd3 has no name for it."""

    def build_compare(self, compare: Any) -> None:
        compare.target = etcdrpc.Compare.LEASE
        compare.lease = self.value


def put_if_free(client: Client, pairs: Collection[tuple[bytes, bytes]], lease: int) -> bool:
    """Put keys and values unless any of the keys exists; whether they were put."""
    free = [client.transactions.create(key) == 0 for key, _ in pairs]
    puts = [client.transactions.put(key, value, lease) for key, value in pairs]
    done, _ = client.transaction(free, puts, [])
    return bool(done)


def put_if_own(
    client: Client,
    key: bytes,
    value: bytes,
    lease: int,
    own: Collection[int],
    previous: bytes | None = None,
) -> bool:
    """Put `key` if it is free, or under one of this process's leases, or holds the value `previous`.

    It is there as our own after a put whose answer was lost, and when a new lease is granted before the old
    one has ended.

    Args:
        client: of etcd.
        key: what to put.
        value: its value.
        lease: to put it under.
        own: the leases of this process, those that are lost included.
        previous: a value that may be replaced, whoever put it.

    Returns:
        Whether `key` now has `value` under `lease`.
    """
    there, metadata = client.get(key)
    if metadata is None:
        return put_if_free(client, [(key, value)], lease)
    if metadata.lease_id not in own and (previous is None or there != previous):
        return False
    same = client.transactions.mod(key) == metadata.mod_revision
    done, _ = client.transaction([same], [client.transactions.put(key, value, lease)], [])
    return bool(done)


def remove_if_held(client: Client, key: bytes, lease: int) -> bool:
    """Delete `key` if it is held by `lease`; whether it was."""
    held = _Lease(key) == lease
    done, _ = client.transaction([held], [client.transactions.delete(key)], [])
    return bool(done)
