"""EtcdAnnouncer: the lease of this process, and the registrations that live on it.

::

    register ─┐                            ┌─ grant a lease, where there is none
    withdraw ─┼─▶ wishes ─▶ one thread ────┼─ put what is wanted and not there
    close ────┘   (a lock)  (all writing)  ├─ remove what is not wanted
                                           └─ keep the lease alive, at a third of its TTL

The thread compares what is wished with what is there, and acts on the difference; so a lost lease needs no
case of its own: nothing is there any more, hence all is put again. Callers wait, bounded, for their wish.
"""

from __future__ import annotations

import logging
import math
import threading
import time

from iris_actor.deadline import Deadline
from iris_actor.errors import RegistryError, RegistryUnavailableError
from iris_actor.registry.etcd_connection import EtcdConnection
from iris_actor.registry.etcd_failure import LeaseGoneError
from iris_actor.registry.etcd_lease import EtcdLease
from iris_actor.registry.etcd_registration import EtcdRegistration, Wish
from iris_actor.registry.etcd_transactions import put_if_free, put_if_own, remove_if_held
from iris_actor.registry.reachability import Reachability
from iris_actor.registry.registry import RegistrationState
from iris_actor.registry.url import RegistryURL
from iris_actor.retry import Backoff

_log = logging.getLogger(__name__)

BATCH = 64
"""Registrations that are put in one transaction; etcd takes 128 operations by default."""
WITHDRAW_TIMEOUT = 0.5
"""Seconds that withdrawing waits for etcd by default."""
REFUSED_PAUSE = 1.0
"""Seconds until something that etcd refused is tried again."""
MOST_NAMES = 5
"""Names that one line of the log lists."""


class EtcdAnnouncer:
    """Thread-safe. Starts its thread with the first registration.

    Args:
        url: of the registry.
        reachability: of the registry.
    """

    def __init__(self, url: RegistryURL, reachability: Reachability) -> None:
        self._url = url
        self._reachability = reachability
        # Two endpoints that are silent must not cost the lease.
        attempt = url.ttl / 6 if len(url.hosts) > 1 else url.ttl / 3
        self._connection = EtcdConnection(url, reachability, attempt_timeout=min(max(attempt, 0.5), 2.0))
        self._changed = threading.Condition()  # guards all that follows, fields of registrations included
        self._registrations: dict[bytes, EtcdRegistration] = {}
        self._wanted: dict[bytes, EtcdRegistration] = {}  # those of them that are still to be put
        self._leaving: list[EtcdRegistration] = []
        self._closing = False
        self._error: RegistryError | None = None
        self._unresponsive = False
        self._doubtful = False
        self._paused_until = 0.0  # nothing is asked of etcd before
        self._write_at = 0.0  # nothing is put or removed before; the lease is kept alive meanwhile
        self._thread: threading.Thread | None = None
        # The thread's own.
        self._lease = EtcdLease(url, self._connection)
        self._failures = 0

    # --- callers ------------------------------------------------------------------------------------

    def register(self, registration: EtcdRegistration, deadline: Deadline) -> None:
        """Return once `registration` stands.

        Raises:
            RegistryUnavailableError: etcd did not answer by `deadline`. It is then withdrawn again.
            RegistryError: etcd refused; the actor id is taken; or this is closed.
        """
        with self._changed:
            if self._closing:
                raise RegistryError(f"registry {self._url} is closed")
            if registration.key in self._registrations:
                raise RegistryError(
                    f"registry {self._url}: actor id {registration.endpoint.actor_id} is taken"
                )
            self._registrations[registration.key] = self._wanted[registration.key] = registration
            self._start()
            self._hurry()
            try:
                self._changed.wait_for(
                    lambda: registration.stood or registration.error or self._closing, deadline.timeout
                )
            finally:
                if not registration.stood and not self._closing:
                    self._leave(registration)
            if registration.stood:
                return
            if self._closing:
                raise RegistryError(f"registry {self._url} is closed")
            error = registration.error or self._error or self._reachability.trouble
        # An error of one's own: the one that was kept may be raised by others, too.
        if isinstance(error, RegistryUnavailableError):
            raise RegistryUnavailableError(str(self._url), error.reason, error.since)
        if error is not None:
            raise RegistryError(str(error))
        raise RegistryUnavailableError(str(self._url), "no answer in time")

    def withdraw(self, registration: EtcdRegistration, timeout: float | None) -> None:
        """Remove `registration` if it is still our own; waits at most `timeout` seconds for that."""
        with self._changed:
            if registration.shown is not RegistrationState.CLOSED:
                self._leave(registration)
            # One wait finds out that etcd is silent: a server that withdraws many actors pays it once.
            if timeout is None:
                timeout = 0.0 if self._unresponsive else WITHDRAW_TIMEOUT
            done = self._changed.wait_for(lambda: registration.wish is Wish.NOTHING or self._closing, timeout)
            if not done:
                self._unresponsive = True

    def _leave(self, registration: EtcdRegistration) -> None:
        registration.shown = RegistrationState.CLOSED
        if self._registrations.get(registration.key) is registration:
            del self._registrations[registration.key]
            self._wanted.pop(registration.key, None)
        if registration.lease == 0:
            registration.wish = Wish.NOTHING
            return
        if registration.wish is Wish.PUT:
            registration.removals = 2
        registration.wish = Wish.REMOVE
        self._leaving.append(registration)
        self._hurry()

    def _hurry(self) -> None:
        self._paused_until = self._write_at = 0.0
        self._changed.notify_all()

    def close(self) -> None:
        """Revoke the lease with all that is on it, and end the thread: in less than a second. Idempotent."""
        with self._changed:
            self._closing = True
            self._forget_all()
            thread = self._thread
            patience = 0.6 if self._lease.id and not self._unresponsive else 0.1
            self._changed.notify_all()
        if thread is not None:
            thread.join(patience)
        self._connection.close()
        if thread is not None:
            thread.join(0.3)

    # --- the thread ---------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="iris-lease", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        backoff = Backoff(first=0.05, most=min(self._lease.beat, 1.0))
        while self._wait():
            try:
                self._step()
            except LeaseGoneError as error:
                self._lost(error)
            except RegistryError as error:
                self._failed(error)
                refused = not isinstance(error, RegistryUnavailableError)
                pause = REFUSED_PAUSE if refused else backoff.delay(self._failures - 1)
                with self._changed:
                    self._paused_until = time.monotonic() + pause
            except Exception:
                _log.exception("keeping registrations in etcd failed, and goes on")
                with self._changed:
                    self._paused_until = time.monotonic() + REFUSED_PAUSE
            else:
                self._succeeded()
        self._revoke()

    def _wait(self) -> bool:
        """Wait until there is something to do; False when closing."""
        with self._changed:
            while not self._closing:
                due = self._due()
                now = time.monotonic()
                if due <= now:
                    return True
                self._changed.wait(None if due == math.inf else due - now)
            return False

    def _due(self) -> float:
        """When there is something to do."""
        writes = self._write_at if self._leaving or self._wanted else math.inf
        beat = self._lease.beat_at if self._lease.id else math.inf
        return max(self._paused_until, min(writes, beat))

    def _step(self) -> None:
        if self._lease.beat_due:
            self._put_back_but(self._lease.keep_alive())
        with self._changed:
            if time.monotonic() < self._write_at:
                return
            wanted = list(self._wanted.values())
            leaving = list(self._leaving)
        for registration in leaving:
            if self._lease.beat_due:
                return
            self._remove(registration)
        if wanted:
            self._lease.ensure()
        for batch in (wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH)):
            # However long the rest takes, the lease must not end meanwhile.
            if self._lease.beat_due:
                return
            self._put(batch)

    def _forget_all(self) -> None:
        # A function of its own, because CPython 3.13.0 leaves the jump back of a loop out of a `with`.
        for registration in [*self._registrations.values(), *self._leaving]:
            registration.shown = RegistrationState.CLOSED
            registration.wish = Wish.NOTHING
        self._registrations.clear()
        self._wanted.clear()
        self._leaving.clear()

    def _put_back_but(self, there: frozenset[bytes]) -> None:
        """Have everything put back whose key is not `there`: who does not own it may still delete it."""
        lost: list[EtcdRegistration] = []
        with self._changed:
            for key, registration in self._registrations.items():
                if registration.wish is Wish.KEEP and key not in there:
                    registration.shown = RegistrationState.LOST
                    registration.wish = Wish.PUT
                    self._wanted[key] = registration
                    lost.append(registration)
        if lost:
            _log.warning("registry %s has lost %s; putting it back", self._url, _named(lost))

    def _put(self, batch: list[EtcdRegistration]) -> None:
        with self._changed:
            batch = [item for item in batch if item.wish is Wish.PUT and not self._closing]
            for registration in batch:
                registration.lease = self._lease.id
        if not batch:
            return
        pairs = [(registration.key, registration.value) for registration in batch]
        try:
            done = self._lease.call(
                lambda client: put_if_free(client, pairs, self._lease.id),
                f"registering {batch[0].endpoint.name}",
            )
        except (LeaseGoneError, RegistryUnavailableError):
            raise
        except RegistryError as error:
            if len(batch) == 1:
                self._refused(batch[0], error)
                return
            done = False  # one of them is at fault; the others must not pay for it
        if done:
            self._stand(batch)
            return
        for registration in batch:
            self._put_own(registration)

    def _put_own(self, registration: EtcdRegistration) -> None:
        key, value, own = registration.key, registration.value, frozenset(self._lease.granted)
        try:
            done = self._lease.call(
                lambda client: put_if_own(client, key, value, self._lease.id, own),
                f"registering {registration.endpoint.name}",
            )
        except (LeaseGoneError, RegistryUnavailableError):
            raise
        except RegistryError as error:
            self._refused(registration, error)
            return
        if done:
            self._stand([registration])
        else:
            text = f"registry {self._url}: {key.decode()} belongs to another process"
            self._refused(registration, RegistryError(text))

    def _stand(self, registrations: list[EtcdRegistration]) -> None:
        back: list[EtcdRegistration] = []
        with self._changed:
            for registration in registrations:
                if registration.wish is Wish.PUT:
                    if registration.stood:
                        back.append(registration)
                    self._wanted.pop(registration.key, None)
                    registration.wish = Wish.KEEP
                    registration.shown = RegistrationState.STANDS
                    registration.stood = True
                    registration.error = None
            self._changed.notify_all()
        if back:
            _log.info("registry %s has %s again", self._url, _named(back))

    def _refused(self, registration: EtcdRegistration, error: RegistryError) -> None:
        with self._changed:
            if registration.stood:
                if registration.error is None:
                    _log.warning(
                        "cannot put %s back, and go on trying: %s", registration.endpoint.name, error
                    )
                self._write_at = time.monotonic() + REFUSED_PAUSE
            registration.error = error
            self._changed.notify_all()

    def _remove(self, registration: EtcdRegistration) -> None:
        name = registration.endpoint.name
        try:
            self._lease.call(
                lambda client: remove_if_held(client, registration.key, registration.lease),
                f"withdrawing {name}",
            )
        except (LeaseGoneError, RegistryUnavailableError):
            raise
        except RegistryError as error:
            _log.warning("cannot withdraw %s, its lease will end it: %s", name, error)
        with self._changed:
            registration.removals -= 1
            if registration.removals > 0:
                self._write_at = time.monotonic() + self._lease.beat
                return
            registration.wish = Wish.NOTHING
            if registration in self._leaving:
                self._leaving.remove(registration)
            self._changed.notify_all()

    def _lost(self, error: LeaseGoneError) -> None:
        _log.info("registry %s: the lease was lost: %s", self._url, error)
        self._lease.lost()
        self._put_back_but(frozenset())
        with self._changed:
            self._doubtful = False
            self._paused_until = self._write_at = 0.0

    def _failed(self, error: RegistryError) -> None:
        self._failures += 1
        doubtful = False
        with self._changed:
            self._error = error
            if self._lease.id and time.monotonic() >= self._lease.expires:
                # The lease may still be there, so nothing is to be put; but nobody can tell.
                doubtful = bool(self._registrations) and not self._doubtful
                self._doubtful = True
                for registration in self._registrations.values():
                    if registration.wish is Wish.KEEP:
                        registration.shown = RegistrationState.LOST
            if not isinstance(error, RegistryUnavailableError):
                for registration in self._wanted.values():
                    if not registration.stood:
                        registration.error = error
            self._changed.notify_all()
        if doubtful:
            _log.warning(
                "registry %s may have lost what is registered here: it was silent for longer than the lease",
                self._url,
            )
        # That it does not answer is for `Reachability` to tell.
        refused = not isinstance(error, RegistryUnavailableError) and not self._closing
        if refused and self._failures == 1:
            _log.warning("registry %s refuses, and is asked again and again: %s", self._url, error)

    def _succeeded(self) -> None:
        self._failures = 0
        doubtful = False
        with self._changed:
            self._error = None
            self._unresponsive = False
            if self._doubtful:
                doubtful = any(item.wish is Wish.KEEP for item in self._registrations.values())
                self._doubtful = False
                for registration in self._registrations.values():
                    if registration.wish is Wish.KEEP:
                        registration.shown = RegistrationState.STANDS
        if doubtful:
            _log.info("registry %s still has what is registered here", self._url)

    def _revoke(self) -> None:
        try:
            self._lease.revoke(0.2 if self._failures else 0.5)
        except RegistryError as error:
            _log.info("could not revoke the lease; it ends within %s s: %s", self._url.ttl, error)


def _named(registrations: list[EtcdRegistration]) -> str:
    """What the registrations are of, for a person to read."""
    names = sorted({registration.endpoint.name for registration in registrations})
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
