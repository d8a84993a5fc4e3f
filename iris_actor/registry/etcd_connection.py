"""EtcdConnection: calls one etcd over whichever of its endpoints answers.

::

    call(operation) ─▶ current endpoint ─▶ answer
                            │ silent, refused, no leader
                            ▼
                       next endpoint … a round without answer waits a little, until the deadline

Every operation may be sent more than once: those who write compare in a transaction.

The registry counts as absent once each endpoint, one after the other, has not answered. A stream that worked
and then broke says nothing yet: the next attempt will.
"""

from __future__ import annotations

import copy
import ctypes
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc

from iris_actor.address import Address
from iris_actor.deadline import Deadline
from iris_actor.errors import InvalidURLError, RegistryError, RegistryUnavailableError
from iris_actor.grpc_settings import ETCD_PATIENCE_MS
from iris_actor.listener import PATIENCE, FaultKind, TLSFiles, find_fault
from iris_actor.registry.etcd_failure import EtcdFailure, Kind
from iris_actor.registry.etcd_stubs import etcd3, etcdrpc
from iris_actor.registry.reachability import Reachability
from iris_actor.registry.url import RegistryURL
from iris_actor.retry import Backoff

_log = logging.getLogger(__name__)

Client = Any
"""An etcd3 client, whose `timeout` and `metadata` are those of one attempt."""
T = TypeVar("T")

REACH_TIMEOUT = 1.0
"""Seconds in which an endpoint must be reached before a stream is opened to it."""
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
    # A listing of ten thousand endpoints is over gRPC's default limit of 4 MB.
    ("grpc.max_receive_message_length", -1),
    # Closing one channel must not leave its connection to others in this process.
    ("grpc.use_local_subchannel_pool", 1),
    # gRPC obeys http_proxy, https_proxy and grpc_proxy, for addresses of this host and this cluster too.
    ("grpc.enable_http_proxy", 0),
]


class _Member:
    """One endpoint of etcd: an etcd3 client, and the token it was given. Guarded by the connection's lock."""

    def __init__(self, address: str) -> None:
        self.address = Address.parse(address)
        self.answered = False
        self.client: Client = None
        self.token: str | None = None


class EtcdConnection:
    """Thread-safe. Connects when first used.

    Args:
        url: an etcd URL.
        reachability: of the registry; it is told what this connection sees.
        attempt_timeout: seconds that one endpoint is given to answer.

    Raises:
        InvalidURLError: (a ValueError) when a file that it names cannot be read.
    """

    def __init__(self, url: RegistryURL, reachability: Reachability, *, attempt_timeout: float = 3.0) -> None:
        self.url = url
        self._reachability = reachability
        for path in (url.ca, url.cert, url.key):
            if path is not None:
                _check_readable(url, path)
        self._attempt_timeout = attempt_timeout
        self._backoff = Backoff(first=0.05, most=1.0)
        self._lock = threading.Lock()  # guards the members and which of them is the current one
        self._members = [_Member(address) for address in url.hosts]
        self._current = 0
        self._closed = threading.Event()
        self._answers = 0  # so far, and attempts without one since the last; estimates, so no lock
        self._silent = 0

    def call(self, operation: Callable[[Client], T], deadline: Deadline, doing: str) -> T:
        """``operation(client)`` on an endpoint that answers; it is repeated until `deadline`.

        Args:
            operation: does one call on the client it is given, within the client's `timeout`.
            deadline: when to give up.
            doing: what it does, for errors.

        Raises:
            RegistryUnavailableError: no endpoint answered in time.
            RegistryError: etcd refused, or this connection is closed.
        """
        attempt = 0
        reauthenticated = False
        while True:
            self._check_open()
            with self._lock:
                member = self._members[self._current]
            timeout = min(max(deadline.remaining, 0.001), self._attempt_timeout)
            try:
                answer = operation(self._view(member, timeout))
            except Exception as error:
                failure = self._examined(member, EtcdFailure.of(error), deadline.remaining)
                if failure.kind is Kind.UNAUTHENTICATED and self.url.user and not reauthenticated:
                    reauthenticated = True
                    self._drop_token(member)
                    continue
                if failure.kind is not Kind.ABSENT:
                    raise failure.error(str(self.url), doing) from None
                self._absent(f"{doing}: {failure.details}")
                self._move_on(member)
                attempt += 1
                round_, position = divmod(attempt, len(self._members))
                pause = self._backoff.delay(round_ - 1) if position == 0 else 0.0
                if deadline.remaining <= pause:
                    # gRPC's own exception has nothing to add to its words, which are in the message.
                    raise failure.error(str(self.url), doing, self._reachability.since) from None
            else:
                member.answered = True
                self.answered()
                return answer
            if pause > 0:
                self._pause(pause)

    @contextmanager
    def stream(self, doing: str) -> Iterator[Client]:
        """A client of the current endpoint for a call that goes on; a failure inside is translated.

        Whoever uses it calls `answered` once the call works.

        Raises:
            RegistryUnavailableError: the stream broke; the next one goes to the next endpoint.
            RegistryError: etcd refused, or this connection is closed.
        """
        self._check_open()
        with self._lock:
            member = self._members[self._current]
        answers = self._answers
        try:
            client = self._view(member, self._attempt_timeout)
            _reach(client, min(self._attempt_timeout, REACH_TIMEOUT))
            member.answered = True
            yield client
        except RegistryUnavailableError:
            self._move_on(member)
            raise
        except RegistryError:
            self._drop_token(member)
            raise
        except (grpc.RpcError, etcd3.Etcd3Exception, ValueError) as error:
            failure = self._examined(member, EtcdFailure.of(error), REACH_TIMEOUT)
            self._drop_token(member)
            if failure.kind is Kind.ABSENT:
                if self._answers == answers:  # it never worked
                    self._absent(f"{doing}: {failure.details}")
                self._move_on(member)
            raise failure.error(str(self.url), doing, self._reachability.since) from None

    def answered(self) -> None:
        """Note that an endpoint did what it was asked to do."""
        self._answers += 1
        self._silent = 0
        self._reachability.answered()

    def _absent(self, reason: str) -> None:
        self._silent += 1
        if self._silent >= len(self._members) and not self._closed.is_set():
            self._reachability.absent(reason)

    def begin(self, client: Client, start: Callable[[], T]) -> T:
        """``start()``, which begins a call that goes on, on `client` as from `stream`; never beside `close`.

        gRPC starts a thread for such a call. When it cannot (there is no memory, or the interpreter ends:
        CPython 3.12 refuses threads from the end of the main program on), it counts the call all the same,
        and its channel waits for the call's end for ever: when it is closed, and when it is deleted. So that
        channel is given up without either, and the next call connects anew.

        Raises:
            RegistryUnavailableError: no thread could be started.
            RegistryError: this connection is closed.
        """
        with self._lock:
            self._check_open()
            try:
                return start()
            except RuntimeError as error:
                if "new thread" not in str(error):
                    raise
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(client.channel))
                for member in self._members:
                    if member.client is not None and member.client.channel is client.channel:
                        member.client = None
                raise RegistryUnavailableError(str(self.url), str(error)) from error

    def close(self) -> None:
        """End every call that is under way, also in other threads. Idempotent."""
        self._closed.set()
        with self._lock:
            clients = self._take_clients()
        for client in clients:
            client.close()

    def _take_clients(self) -> list[Client]:
        # Loops in a function of their own: CPython 3.13.0 leaves their jumps back out of a `with`.
        clients = [member.client for member in self._members if member.client is not None]
        for member in self._members:
            member.client = None
        return clients

    def _pause(self, seconds: float) -> None:
        """Wait for `seconds`, or less when the endpoint that is asked next can be reached meanwhile."""
        deadline = Deadline.after(seconds)
        with self._lock:
            client = self._members[self._current].client
        try:
            if client is not None:
                _reach(client, seconds)
                # It may answer this and still be unable to do what is asked of it.
                seconds /= 4
        except Exception:
            seconds = deadline.remaining
        self._closed.wait(seconds)

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise RegistryError(f"registry {self.url} is closed")

    def _view(self, member: _Member, timeout: float) -> Client:
        """The member's client with `timeout` and its token, connected and authenticated."""
        with self._lock:
            self._check_open()
            if member.client is None:
                member.client = self._connect(member.address)
            client, token = member.client, member.token
        if self.url.user is not None and token is None:
            request = etcdrpc.AuthenticateRequest(name=self.url.user, password=self.url.password)
            token = etcdrpc.AuthStub(client.channel).Authenticate(request, timeout).token
            with self._lock:
                member.token = token
        # A shallow copy shares channel and stubs; timeout and token are this call's own.
        view = copy.copy(client)
        view.timeout = timeout
        # Not as call credentials, as etcd3 has it: gRPC refuses those on a channel without TLS.
        view.metadata = None if token is None else (("token", token),)
        return view

    def _examined(self, member: _Member, failure: EtcdFailure, seconds: float) -> EtcdFailure:
        """`failure`, or what is wrong with an endpoint that has never answered, if that is found in time."""
        if failure.kind is not Kind.ABSENT or member.answered or seconds <= 0 or self._closed.is_set():
            return failure
        url = self.url
        tls = None if url.ca is None else TLSFiles(url.ca, url.cert, url.key)
        fault = find_fault(member.address, tls, min(PATIENCE, seconds / 3))
        if fault is None:
            return failure
        # No attempt will mend these; another endpoint may.
        final = fault.kind in {FaultKind.CREDENTIALS, FaultKind.STRANGER} and len(self._members) == 1
        return EtcdFailure(Kind.REFUSED if final else Kind.ABSENT, fault.sentence)

    def _connect(self, address: Address) -> Client:
        host, _, port = address.target.rpartition(":")
        url = self.url
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

    def _drop_token(self, member: _Member) -> None:
        with self._lock:
            member.token = None

    def _move_on(self, member: _Member) -> None:
        with self._lock:
            # Another thread may have moved on already.
            if self._members[self._current] is member and len(self._members) > 1:
                self._current = (self._current + 1) % len(self._members)
                following = self._members[self._current].address
                _log.info("etcd at %s does not answer, going on with %s", member.address, following)


def _reach(client: Client, timeout: float) -> None:
    """Have `client` connect, and its etcd answer, within `timeout` seconds.

    Older gRPC (1.60 does) gets on with connecting only while some call waits for it: a program whose calls
    all fail at once, for want of a connection, would never get one.
    """
    try:
        etcdrpc.MaintenanceStub(client.channel).Status(
            etcdrpc.StatusRequest(), timeout, wait_for_ready=True, metadata=client.metadata
        )
    except grpc.RpcError as error:
        if EtcdFailure.of(error).kind is Kind.ABSENT:
            raise


def _check_readable(url: RegistryURL, path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise InvalidURLError(str(url), f"cannot read {path!r}: {error.strerror}") from error
