"""What is read from etcd."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from iris_actor.deadline import Deadline
from iris_actor.etcd.connection.etcd_connection import EtcdConnection
from iris_actor.etcd.connection.member import Client
from iris_actor.etcd.errors import CompactedError
from iris_actor.etcd.key_range import KeyRange, KeyValue
from iris_actor.etcd.stubs import etcdrpc

PAGE = 2_000
"""Keys asked for at a time in a listing."""


def key_value(kv: Any) -> KeyValue:
    """etcd's message of a key, as we have it."""
    return KeyValue(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.lease)


def read(
    connection: EtcdConnection, keys: KeyRange, deadline: Deadline, doing: str, *, keys_only: bool = False
) -> list[KeyValue]:
    """What is there now, in order of creation, in one answer.

    Args:
        connection: to etcd.
        keys: which.
        deadline: when to give up.
        doing: what this is, for errors.
        keys_only: leave the values out.

    Raises:
        RegistryUnavailableError: etcd did not answer in time.
        RegistryError: etcd refused, or the connection is closed.
    """
    request = etcdrpc.RangeRequest(
        key=keys.first,
        range_end=keys.end,
        sort_target=etcdrpc.RangeRequest.CREATE,
        sort_order=etcdrpc.RangeRequest.ASCEND,
        keys_only=keys_only,
    )

    def ask(client: Client) -> Any:
        return client.kvstub.Range(request, client.timeout, metadata=client.metadata)

    return [key_value(kv) for kv in connection.call(ask, deadline, doing).kvs]


@dataclass(frozen=True, slots=True)
class Listing:
    """All keys of a range at one revision.

    Attributes:
        keys: in order of creation.
        revision: at which they were all there.
        data_id: id of the data, or None.
        cluster: id of the cluster.
    """

    keys: list[KeyValue]
    revision: int
    data_id: bytes | None
    cluster: int


def list_keys(
    connection: EtcdConnection,
    keys: KeyRange,
    data_id_key: bytes,
    deadline: Deadline,
    doing: str,
    stop: threading.Event,
) -> Listing:
    """List a range, in pages of one revision, together with the id of the data.

    Args:
        connection: to etcd.
        keys: which.
        data_id_key: where the id of the data is.
        deadline: when to give up.
        doing: what this is, for errors.
        stop: once it is set, no further attempt is made.

    Raises:
        RegistryUnavailableError: etcd did not answer in time.
        RegistryError: etcd refused, or the connection is closed.
    """
    while True:
        try:
            return _list_once(connection, keys, data_id_key, deadline, doing, stop)
        except CompactedError:
            # Between two pages; the next listing begins at a newer revision.
            continue


def _list_once(
    connection: EtcdConnection,
    keys: KeyRange,
    data_id_key: bytes,
    deadline: Deadline,
    doing: str,
    stop: threading.Event,
) -> Listing:
    found: list[KeyValue] = []
    first, revision = keys.first, 0
    data_id: bytes | None = None
    while True:
        page = etcdrpc.RangeRequest(key=first, range_end=keys.end, limit=PAGE, revision=revision)
        request = etcdrpc.TxnRequest(
            success=[
                etcdrpc.RequestOp(request_range=etcdrpc.RangeRequest(key=data_id_key)),
                etcdrpc.RequestOp(request_range=page),
            ]
        )

        def ask(client: Client, request: Any = request) -> Any:
            return client.kvstub.Txn(request, client.timeout, metadata=client.metadata)

        answer = connection.call(ask, deadline, doing, stop)
        id_range, key_range = (response.response_range for response in answer.responses)
        if not revision:
            revision = answer.header.revision
            data_id = id_range.kvs[0].value if id_range.kvs else None
            cluster = answer.header.cluster_id
        found += map(key_value, key_range.kvs)
        if not key_range.more:
            found.sort(key=lambda kv: kv.created)
            return Listing(found, revision, data_id, cluster)
        first = found[-1].key + b"\0"
