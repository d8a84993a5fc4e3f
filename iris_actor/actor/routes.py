"""Routes: the way from a pool to the session for its next call, around endpoints that failed lately."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from iris_actor.actor.balancer import Balancer
from iris_actor.actor.endpoint_source import EndpointSource
from iris_actor.registry.endpoint import Endpoint
from iris_actor.retry import Backoff
from iris_actor.rpc.client_session import ClientSession
from iris_actor.rpc.sessions import sessions

_SET_ASIDE = Backoff(first=0.25, most=10.0)


class Routes:
    """Chooses endpoints of one name. Thread-safe."""

    def __init__(self, resolver: EndpointSource, name: str, balancer: Balancer) -> None:
        self._resolver = resolver
        self._credentials = resolver.credentials
        self._name = name
        self._balancer = balancer
        self._lock = threading.Lock()
        self._aside: dict[tuple[str, str], tuple[float, int]] = {}  # until when, and after how many failures

    def endpoints(self) -> tuple[Endpoint, ...]:
        """All endpoints of the name."""
        return self._resolver.resolve(self._name).endpoints

    def session(self, endpoint: Endpoint) -> ClientSession:
        """The session with the server of `endpoint`."""
        return sessions.get(endpoint.address, self._credentials)

    def choose(self, key: str | None) -> tuple[Endpoint, ClientSession] | None:
        """An endpoint for a call with that key, and the session with it; None while there is none."""
        everything = self._resolver.resolve(self._name).endpoints
        if not everything:
            return None
        candidates: tuple[Endpoint, ...] = everything
        if self._aside:
            now = time.monotonic()
            candidates = tuple(e for e in everything if self._aside.get(_key(e), (0.0, 0))[0] <= now)
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
            self._aside.pop(_key(endpoint), None)

    def failed(self, endpoint: Endpoint) -> None:
        """`endpoint` could not be called: set it aside for a while, longer each time."""
        with self._lock:
            _, failures = self._aside.get(_key(endpoint), (0.0, 0))
            self._aside[_key(endpoint)] = (time.monotonic() + _SET_ASIDE.delay(failures), failures + 1)

    def next_return(self) -> float:
        """Seconds until the first endpoint that was set aside may be tried again."""
        now = time.monotonic()
        times = [until for until, _ in list(self._aside.values()) if until > now]
        return max(0.01, min(times) - now) if times else 0.05

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback()` called when the endpoints change; returns what ends that."""
        return self._resolver.subscribe(self._name, callback)


def _key(endpoint: Endpoint) -> tuple[str, str]:
    return endpoint.address, endpoint.actor_id
