"""Routes: the way from a pool to the session for its next call, around endpoints that failed lately."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from iris_actor.actor.absence import Absence
from iris_actor.actor.balancer import Balancer
from iris_actor.actor.callbacks import run_callback
from iris_actor.actor.endpoint_source import EndpointSource
from iris_actor.errors import RegistryError
from iris_actor.registry.endpoint import Endpoint
from iris_actor.retry import Backoff
from iris_actor.rpc.client_session import ClientSession
from iris_actor.rpc.sessions import sessions

_log = logging.getLogger(__name__)

_SET_ASIDE = Backoff(first=0.25, most=10.0)


class _Aside(NamedTuple):
    """Until when an endpoint is not tried (by the monotonic clock), how often it failed, since when, why."""

    until: float
    failures: int
    since: float
    reason: str


_NEVER = _Aside(0.0, 0, 0.0, "")


class Routes:
    """Chooses endpoints of one name. Thread-safe.

    Attributes:
        absence: tells why there are none.
    """

    def __init__(self, resolver: EndpointSource, name: str, balancer: Balancer) -> None:
        self._resolver = resolver
        self._credentials = resolver.credentials
        self._name = name
        self._balancer = balancer
        self._lock = threading.Lock()
        self._aside: dict[tuple[str, str], _Aside] = {}
        self.absence = Absence(resolver, name)

    def known(self) -> tuple[Endpoint, ...] | None:
        """All endpoints of the name; None while nobody knows yet. Never blocks."""
        found = self._resolver.known(self._name)
        return None if found is None else found.endpoints

    def endpoints(self, timeout: float) -> tuple[Endpoint, ...]:
        """All endpoints of the name; before the first listing it waits for that.

        Raises:
            RegistryUnavailableError: none came within `timeout` seconds.
            RegistryError: the registry refuses, or is closed.
        """
        known = self.known()
        if known is None and self._resolver.wait_synced(self._name, timeout):
            known = self.known()
        if known is None:
            trouble = self._resolver.trouble(self._name)
            raise trouble or RegistryError(f"no listing of {self._name[1:]!r} came within {timeout:g} s")
        return known

    @property
    def set_aside(self) -> str:
        """Why no endpoint is tried although there are some; empty when there are none, or one is tried."""
        try:
            known = self.known()
        except Exception:  # the resolver is closed, or somebody else's: no reason for a call to have no end
            return ""
        if not known:
            return ""
        failed = [self._aside.get(_key(endpoint)) for endpoint in known]
        now = time.monotonic()
        latest = max((each for each in failed if each is not None), key=lambda e: e.until, default=None)
        if latest is None or not all(each is not None and each.until > now for each in failed):
            return ""
        return f"each endpoint failed lately and is not tried yet ({len(known)} in all): {latest.reason}"

    def session(self, endpoint: Endpoint) -> ClientSession:
        """The session with the server of `endpoint`."""
        return sessions.get(endpoint.address, self._credentials)

    def choose(self, key: str | None) -> tuple[Endpoint, ClientSession] | None:
        """An endpoint for a call with that key, and the session with it; None while there is none."""
        found = self._resolver.known(self._name)
        if found is None or not found.endpoints:
            return None
        candidates = found.endpoints
        if self._aside:
            now = time.monotonic()
            candidates = tuple(e for e in candidates if self._aside.get(_key(e), _NEVER).until <= now)
            if not candidates:
                return None
        endpoint = self._balancer.pick(candidates, key, self._pending)
        session = sessions.get(endpoint.address, self._credentials)
        if not session.usable and len(candidates) > 1:
            usable = tuple(e for e in candidates if self.session(e).usable)
            if usable:
                endpoint = self._balancer.pick(usable, key, self._pending)
                session = self.session(endpoint)
        return endpoint, session

    def _pending(self, endpoint: Endpoint) -> int:
        return self.session(endpoint).in_flight

    def succeeded(self, endpoint: Endpoint) -> None:
        """`endpoint` answered."""
        if self._aside:
            aside = self._aside.pop(_key(endpoint), None)
            if aside is not None:
                self._log("endpoint %s of %s is back after %.1f s", endpoint, time.monotonic() - aside.since)

    def failed(self, endpoint: Endpoint, reason: str) -> None:
        """`endpoint` could not be called: set it aside for a while, longer each time."""
        now = time.monotonic()
        with self._lock:
            aside = self._aside.get(_key(endpoint), _NEVER)
            first = aside is _NEVER
            self._aside[_key(endpoint)] = _Aside(
                now + _SET_ASIDE.delay(aside.failures),
                aside.failures + 1,
                now if first else aside.since,
                reason,
            )
        if first:
            self._log("endpoint %s of %s is lost, and set aside: %s", endpoint, reason)

    def _log(self, text: str, endpoint: Endpoint, what: object) -> None:
        # Not here: this may be the I/O thread, and a handler of the log is the user's.
        run_callback(partial(_log.info, text, endpoint.address, self._name[1:], what))

    def pass_over(self, endpoint: Endpoint, reason: str) -> bool:
        """Set `endpoint` aside, whose server no attempt will reach, if another one is there to be called.

        Returns:
            Whether there is one.
        """
        now = time.monotonic()
        keys = {_key(other) for other in self.known() or ()} - {_key(endpoint)}
        if all(self._aside.get(key, _NEVER).until > now for key in keys):
            return False
        self.failed(endpoint, reason)
        return True

    def next_return(self) -> float:
        """Seconds until the first endpoint that was set aside may be tried again."""
        now = time.monotonic()
        times = [aside.until for aside in list(self._aside.values()) if aside.until > now]
        return max(0.01, min(times) - now) if times else 0.05

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback()` called when the endpoints change; returns what ends that."""
        return self._resolver.subscribe(self._name, callback)


def _key(endpoint: Endpoint) -> tuple[str, str]:
    return endpoint.address, endpoint.actor_id
