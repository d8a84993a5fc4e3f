"""Member: one endpoint of an etcd, the connection to it, and the token that it gave."""

from __future__ import annotations

import copy
import ctypes
import threading
from pathlib import Path
from typing import Any

import grpc

from iris_actor.address import Address
from iris_actor.errors import InvalidURLError, RegistryError
from iris_actor.etcd.connection.failure import EtcdFailure, FailureKind
from iris_actor.etcd.stubs import etcd3, etcdrpc
from iris_actor.etcd.url import EtcdURL
from iris_actor.grpc_settings import ETCD_PATIENCE_MS
from iris_actor.listener import PATIENCE, FaultKind, TLSFiles, find_fault

Client = Any
"""An etcd3 client, whose `timeout` and `metadata` are those of one attempt."""

_CHANNEL_OPTIONS = [
    # A half-open connection is found out within 8 s. etcd refuses pings more often than every 5 s.
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", ETCD_PATIENCE_MS),
    ("grpc.http2.max_pings_without_data", 0),
    # After an outage every process comes back within a second. The second figure also bounds how long one
    # attempt to connect may take: a stopped etcd accepts connections and says nothing.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A listing of ten thousand keys is over gRPC's default limit of 4 MB.
    ("grpc.max_receive_message_length", -1),
    # Closing one channel must not leave its connection to others in this process.
    ("grpc.use_local_subchannel_pool", 1),
    # gRPC obeys http_proxy, https_proxy and grpc_proxy, for addresses of this host and this cluster too.
    ("grpc.enable_http_proxy", 0),
]


class Member:
    """Thread-safe. Connects, and authenticates, when first used.

    Args:
        url: of the etcd.
        address: of this endpoint, ``host:port``.

    Attributes:
        address: of this endpoint.
        answered: whether it ever did; set by whoever gets an answer.
    """

    def __init__(self, url: EtcdURL, address: str) -> None:
        self._url = url
        self.address = Address.parse(address)
        self.answered = False
        self._lock = threading.Lock()  # guards what follows
        self._client: Client = None
        self._token: str | None = None
        self._closed = False

    def view(self, timeout: float) -> Client:
        """The client with `timeout` and the token, connected and authenticated.

        Raises:
            RegistryError: this is closed, or a TLS file cannot be read.
            grpc.RpcError: it was not authenticated.
        """
        with self._lock:
            if self._closed:
                raise RegistryError(f"registry {self._url} is closed")
            if self._client is None:
                self._client = self._connect()
            client, token = self._client, self._token
        if self._url.user is not None and token is None:
            request = etcdrpc.AuthenticateRequest(name=self._url.user, password=self._url.password)
            token = etcdrpc.AuthStub(client.channel).Authenticate(request, timeout).token
            with self._lock:
                self._token = token
        # A shallow copy shares channel and stubs; timeout and token are this call's own.
        view = copy.copy(client)
        view.timeout = timeout
        # Not as call credentials, as etcd3 has it: gRPC refuses those on a channel without TLS.
        view.metadata = None if token is None else (("token", token),)
        return view

    def _connect(self) -> Client:
        host, _, port = self.address.target.rpartition(":")
        url = self._url
        try:
            return etcd3.Etcd3Client(
                host,
                int(port),
                ca_cert=url.ca,
                cert_cert=url.cert,
                cert_key=url.key,
                grpc_options=_CHANNEL_OPTIONS,
            )
        except OSError as error:
            raise RegistryError(f"registry {url}: cannot read a TLS file: {error}") from error

    def reach(self, timeout: float) -> bool:
        """Have it answer within `timeout` seconds; False, at once, where it was not even tried to connect.

        Raises:
            grpc.RpcError: it did not answer.
        """
        with self._lock:
            client = self._client
        if client is not None:
            reach(client, timeout)
        return client is not None

    def drop_token(self) -> None:
        """Authenticate anew next time."""
        with self._lock:
            self._token = None

    def abandon(self, client: Client) -> None:
        """Connect anew, if `client` has the connection of now; that one is neither closed nor deleted."""
        with self._lock:
            if self._client is not None and self._client.channel is client.channel:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(client.channel))
                self._client = None

    def close(self) -> None:
        """End every call that is under way, also in other threads. Idempotent."""
        with self._lock:
            self._closed = True
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def examined(self, failure: EtcdFailure, seconds: float, *, alone: bool) -> EtcdFailure:
        """`failure`, or what is wrong with the endpoint if it has never answered and that is found in time.

        Args:
            failure: what came of a call to it.
            seconds: that finding out may take.
            alone: whether it is the only endpoint.
        """
        if failure.kind is not FailureKind.ABSENT or self.answered or seconds <= 0:
            return failure
        url = self._url
        tls = None if url.ca is None else TLSFiles(url.ca, url.cert, url.key)
        fault = find_fault(self.address, tls, min(PATIENCE, seconds / 3))
        if fault is None:
            return failure
        # No attempt will mend these; another endpoint may.
        final = fault.kind in {FaultKind.CREDENTIALS, FaultKind.STRANGER} and alone
        return EtcdFailure(FailureKind.REFUSED if final else FailureKind.ABSENT, fault.sentence)


def reach(client: Client, timeout: float) -> None:
    """Have `client` connect, and its etcd answer, within `timeout` seconds.

    Older gRPC (1.60 does) gets on with connecting only while some call waits for it: a program whose calls
    all fail at once, for want of a connection, would never get one.

    Raises:
        grpc.RpcError: it did not answer.
    """
    try:
        etcdrpc.MaintenanceStub(client.channel).Status(
            etcdrpc.StatusRequest(), timeout, wait_for_ready=True, metadata=client.metadata
        )
    except grpc.RpcError as error:
        if EtcdFailure.of(error).kind is FailureKind.ABSENT:
            raise


def check_readable(url: EtcdURL) -> None:
    """Raise an InvalidURLError if a file that `url` names cannot be read."""
    for path in (url.ca, url.cert, url.key):
        try:
            if path is not None:
                Path(path).open("rb").close()
        except OSError as error:
            raise InvalidURLError(str(url), f"cannot read {path!r}: {error.strerror}") from error
