"""EtcdConnection: calls one etcd over whichever of its endpoints answers.

::

    call(operation) ─▶ current member ─▶ answer
                            │ silent, refused, no leader
                            ▼
                       next member … a round without answer waits a little, until the deadline

Every operation may be sent more than once: those that write compare in a transaction.

The etcd counts as absent once each endpoint, one after the other, has not answered. A stream that worked and
then broke says nothing yet: the next attempt will.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from weakref import WeakSet

import grpc

from iris_actor.deadline import Deadline
from iris_actor.errors import RegistryError, RegistryUnavailableError
from iris_actor.etcd.connection.failure import EtcdFailure, FailureKind
from iris_actor.etcd.connection.member import Client, Member, check_readable, reach
from iris_actor.etcd.connection.reachability import Reachability
from iris_actor.etcd.stubs import etcd3
from iris_actor.etcd.url import EtcdURL
from iris_actor.retry import Backoff

_log = logging.getLogger(__name__)

T = TypeVar("T")

REACH_TIMEOUT = 1.0
"""Seconds in which an endpoint must be reached before a stream is opened to it."""


class EtcdConnection:
    """Thread-safe. Connects when first used; calls and streams of many users run side by side.

    Args:
        url: of the etcd.
        reachability: of the etcd; it is told what this connection sees.
        attempt_timeout: seconds that one endpoint is given to answer.

    Raises:
        InvalidURLError: (a ValueError) when a file that `url` names cannot be read.
    """

    def __init__(self, url: EtcdURL, reachability: Reachability, *, attempt_timeout: float = 3.0) -> None:
        check_readable(url)
        self.url = url
        self._reachability = reachability
        self._attempt_timeout = attempt_timeout
        self._backoff = Backoff(first=0.05, most=1.0)
        self._members = [Member(url, address) for address in url.hosts]
        self._lock = threading.Lock()  # guards the current member, and that no stream begins beside `close`
        self._current = 0
        self._closed = threading.Event()
        self._outlived: WeakSet[threading.Thread] = WeakSet()  # guarded by the lock, too
        self._answers = 0  # so far, an estimate, so no lock
        self._silent: set[Member] = set()  # since the last answer

    def call(
        self,
        operation: Callable[[Client], T],
        deadline: Deadline,
        doing: str,
        stop: threading.Event | None = None,
    ) -> T:
        """``operation(client)`` on an endpoint that answers; it is repeated until `deadline`.

        Args:
            operation: does one call on the client it is given, within the client's `timeout`.
            deadline: when to give up.
            doing: what it does, for errors.
            stop: once it is set, the attempt that is under way is the last.

        Raises:
            RegistryUnavailableError: no endpoint answered in time.
            RegistryError: etcd refused, or this connection is closed.
        """
        attempt = 0
        reauthenticated = False
        while True:
            self._check_open()
            member = self._member()
            timeout = min(max(deadline.remaining, 0.001), self._attempt_timeout)
            try:
                answer = operation(member.view(timeout))
            except Exception as error:
                failure = self._examined(member, EtcdFailure.of(error), deadline.remaining)
                if failure.kind is FailureKind.UNAUTHENTICATED and self.url.user and not reauthenticated:
                    reauthenticated = True
                    member.drop_token()
                    continue
                if failure.kind is not FailureKind.ABSENT:
                    raise failure.error(str(self.url), doing) from None
                self._absent(member, f"{doing}: {failure.details}")
                self._move_on(member)
                attempt += 1
                round_, position = divmod(attempt, len(self._members))
                pause = self._backoff.delay(round_ - 1) if position == 0 else 0.0
                if deadline.remaining <= pause or (stop is not None and stop.is_set()):
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
        member = self._member()
        answers = self._answers
        try:
            client = member.view(self._attempt_timeout)
            reach(client, min(self._attempt_timeout, REACH_TIMEOUT))
            member.answered = True
            yield client
        except RegistryUnavailableError:
            self._move_on(member)
            raise
        except RegistryError:
            member.drop_token()
            raise
        except (grpc.RpcError, etcd3.Etcd3Exception, ValueError) as error:
            failure = self._examined(member, EtcdFailure.of(error), REACH_TIMEOUT)
            member.drop_token()
            if failure.kind is FailureKind.ABSENT:
                if self._answers == answers:  # it never worked
                    self._absent(member, f"{doing}: {failure.details}")
                self._move_on(member)
            raise failure.error(str(self.url), doing, self._reachability.since) from None

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
                for member in self._members:
                    member.abandon(client)
                raise RegistryUnavailableError(str(self.url), str(error)) from error

    def answered(self) -> None:
        """Note that an endpoint did what it was asked to do."""
        self._answers += 1
        self._silent.clear()
        self._reachability.answered()

    def close(self) -> None:
        """End every call that is under way, also in other threads. Idempotent."""
        self._closed.set()
        with self._lock:
            pass  # no stream begins any more
        for member in self._members:
            member.close()

    def outlive(self, thread: threading.Thread | None) -> None:
        """Have `join` wait for `thread`, which is gRPC's and ends with the last stream of its channel."""
        if thread is not None:
            with self._lock:
                self._outlived.add(thread)

    def join(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for gRPC's threads to end, after `close`."""
        deadline = Deadline.after(timeout)
        with self._lock:
            threads = list(self._outlived)
        for thread in threads:
            thread.join(deadline.remaining)

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise RegistryError(f"registry {self.url} is closed")

    def _member(self) -> Member:
        with self._lock:
            return self._members[self._current]

    def _absent(self, member: Member, reason: str) -> None:
        self._silent.add(member)
        if len(self._silent) == len(self._members) and not self._closed.is_set():
            self._reachability.absent(reason)

    def _examined(self, member: Member, failure: EtcdFailure, seconds: float) -> EtcdFailure:
        if self._closed.is_set():
            return failure
        return member.examined(failure, seconds, alone=len(self._members) == 1)

    def _move_on(self, member: Member) -> None:
        with self._lock:
            # Another thread may have moved on already.
            if self._members[self._current] is member and len(self._members) > 1:
                self._current = (self._current + 1) % len(self._members)
                following = self._members[self._current].address
                _log.info("etcd at %s does not answer, going on with %s", member.address, following)

    def _pause(self, seconds: float) -> None:
        """Wait for `seconds`, or less when the endpoint that is asked next can be reached meanwhile."""
        deadline = Deadline.after(seconds)
        try:
            if self._member().reach(seconds):
                # It may answer this and still be unable to do what is asked of it.
                seconds /= 4
        except Exception:
            seconds = deadline.remaining
        self._closed.wait(seconds)
