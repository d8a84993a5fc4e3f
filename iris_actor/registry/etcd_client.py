"""EtcdClient: requests to one of several etcd members, with another one taken when it fails.

The only place where exceptions of grpc and etcd3 are met; they leave it as RegistryError and
RegistryUnavailableError.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import grpc

from iris_actor.deadline import Deadline
from iris_actor.errors import RegistryError, RegistryUnavailableError
from iris_actor.registry.etcd_stubs import load_etcd3
from iris_actor.registry.url import RegistryURL
from iris_actor.retry import Backoff

T = TypeVar("T")

REQUEST_TIMEOUT = 3.0
"""Seconds for one request to one member."""

_AGAIN = Backoff(first=0.05, most=1.0)
_OPTIONS = [
    # A half-open connection is found within 9 s; etcd allows a ping every 5 s.
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
]
_OUT_OF_REACH = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNAUTHENTICATED,
    }
)


class EtcdClient:
    """Thread-safe. Connects when it is first used.

    Args:
        url: the members, and how to log in.
    """

    def __init__(self, url: RegistryURL) -> None:
        self._url = url
        self._etcd3 = load_etcd3()
        self._lock = threading.Lock()  # guards what follows
        self._members = list(url.endpoints)
        self._client: Any = None
        self._closed = threading.Event()

    def run(self, request: Callable[[Any, float], T], deadline: Deadline) -> T:
        """``request(client, timeout)``, again with another member while none can be reached.

        Args:
            request: gets an `etcd3.Etcd3Client` and the seconds that it may take.
            deadline: until when to try.

        Raises:
            RegistryUnavailableError: no member answered by then, or this client is closed.
            RegistryError: etcd refused the request.
        """
        attempt = 0
        while True:
            try:
                return self.attempt(request, min(REQUEST_TIMEOUT, max(deadline.remaining, 0.05)))
            except RegistryUnavailableError:
                wait = _AGAIN.delay(attempt)
                attempt += 1
                if deadline.remaining <= wait or self._closed.wait(wait):
                    raise

    def attempt(self, request: Callable[[Any, float], T], timeout: float) -> T:
        """One try of `run` with the present member; the next one is the present one after a failure."""
        client = None
        try:
            client = self._connected(timeout)
            return request(client, timeout)
        except grpc.RpcError as error:
            raise self._translated(client, error) from error
        except self._etcd3.exceptions.Etcd3Exception as error:
            cause = error.__context__
            raise self._translated(client, cause if isinstance(cause, grpc.RpcError) else error) from error
        except OSError as error:  # certificate files
            raise RegistryError(f"registry {self._url}: {error}") from error
        except ValueError as error:  # grpc's word for a channel that was closed meanwhile
            raise RegistryUnavailableError(str(self._url), str(error)) from error

    def _connected(self, timeout: float) -> Any:
        with self._lock:
            if self._closed.is_set():
                raise RegistryUnavailableError(str(self._url), "this client is closed")
            if self._client is not None:
                return self._client
            host, _, port = self._members[0].rpartition(":")
        client = self._etcd3.client(
            host=host,
            port=int(port),
            ca_cert=self._url.ca,
            cert_cert=self._url.cert,
            cert_key=self._url.key,
            user=self._url.user,
            password=self._url.password,
            timeout=timeout,
            grpc_options=_OPTIONS,
        )
        with self._lock:
            if self._client is None and not self._closed.is_set():
                self._client = client
                return client
            other = self._client
        client.close()
        if other is None:
            raise RegistryUnavailableError(str(self._url), "this client is closed")
        return other

    def _translated(self, client: Any, error: Exception) -> RegistryError:
        code = error.code() if isinstance(error, grpc.RpcError) else None
        details = (error.details() if isinstance(error, grpc.RpcError) else str(error)) or type(error).__name__
        if code in _OUT_OF_REACH or code is None:
            self.abandon(client)
            return RegistryUnavailableError(str(self._url), details)
        if code is grpc.StatusCode.INVALID_ARGUMENT and "auth" in details:
            return RegistryError(f"registry {self._url} refused the login: {details}")
        return RegistryError(f"registry {self._url}: {code.name}: {details}")

    def abandon(self, client: Any) -> None:
        """`client` failed: close it, and take the next member for the next request."""
        with self._lock:
            if client is not None and self._client is not client:
                return  # somebody did already
            self._client = None
            self._members.append(self._members.pop(0))
        if client is not None:
            client.close()

    def close(self) -> None:
        """Close the connection; requests under way fail. Idempotent."""
        self._closed.set()
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()
