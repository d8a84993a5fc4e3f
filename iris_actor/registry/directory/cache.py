"""DirectoryCache: the endpoints of one namespace as last seen, and who wants to hear of changes.

::

    the store's thread ── replace(listing) / apply(changes) ──▶ tables ── names that changed ──▶ tell
    any thread ────────── endpoints(name) ◀── one dict lookup, no lock ───┘
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from iris_actor import signals
from iris_actor.registry.endpoint import ActorId, Endpoint

_log = logging.getLogger(__name__)

OnChange = Callable[[frozenset[str]], None]
OnAbsence = Callable[[frozenset[str]], None]
Change = tuple[str, ActorId, Endpoint | None]
"""Full name, actor id, and the endpoint that is there now; None when it is gone."""


class Changed(NamedTuple):
    """What a change did.

    Attributes:
        names: full names whose endpoints are others now.
        absent: addresses at which nothing is announced any more.
    """

    names: frozenset[str]
    absent: frozenset[str]


class DirectoryCache:
    """Written by one thread, read by any.

    Args:
        stale: whether its writer has yet to fill it; it then sets this attribute as things are.
    """

    def __init__(self, *, stale: bool) -> None:
        self.stale = stale
        self._listed = not stale
        self._settled = threading.Event()  # listed, or there will be no listing
        if self._listed:
            self._settled.set()
        self._lock = threading.Lock()  # guards all that follows; never held while calling out
        # Dicts keep insertion order, and the writer inserts in order of registration.
        self._by_name: dict[str, dict[ActorId, Endpoint]] = {}
        self._answers: dict[str, tuple[Endpoint, ...]] = {}
        self._addresses: dict[str, int] = {}  # and how many endpoints each has
        self._revision = 0
        self._subscribers: dict[object, tuple[OnChange, OnAbsence]] = {}

    @property
    def revision(self) -> int:
        """Revision of the last change; grows also when the store's own begins anew."""
        return self._revision

    def endpoints(self, name: str) -> tuple[Endpoint, ...]:
        """Endpoints of `name` in order of registration."""
        # Without the lock: a change removes the answer, and an answer is complete once it is there.
        answer = self._answers.get(name)
        if answer is not None:
            return answer
        with self._lock:
            found = self._by_name.get(name)
            if found is None:
                return ()
            answer = self._answers[name] = tuple(found.values())
            return answer

    def names(self, prefix: str) -> list[str]:
        """Names that begin with `prefix`, sorted."""
        with self._lock:
            return sorted(name for name in self._by_name if name.startswith(prefix))

    def announces(self, address: str) -> bool:
        """Whether there is an endpoint at `address`."""
        return address in self._addresses

    def replace(self, listing: Iterable[Endpoint], revision: int) -> Changed:
        """Take `listing`, in order of registration, for the whole truth."""
        fresh: dict[str, dict[ActorId, Endpoint]] = {}
        for endpoint in listing:
            fresh.setdefault(endpoint.name, {})[endpoint.actor_id] = endpoint
        with self._lock:
            known = self._by_name
            changed = set(known.keys() - fresh.keys())
            changed |= {
                name
                for name, endpoints in fresh.items()
                if name not in known or list(known[name].values()) != list(endpoints.values())
            }
            for name in changed:
                self._answers.pop(name, None)
            self._by_name = fresh
            before, self._addresses = self._addresses, {}
            for endpoints in fresh.values():
                for endpoint in endpoints.values():
                    self._count(endpoint, 1)
            absent = frozenset(before.keys() - self._addresses.keys())
            self._advance(revision, changed=bool(changed))
        self._listed = True
        self._settled.set()
        return Changed(frozenset(changed), absent)

    def _count(self, endpoint: Endpoint, more: int) -> None:
        count = self._addresses.get(endpoint.address, 0) + more
        if count:
            self._addresses[endpoint.address] = count
        else:
            del self._addresses[endpoint.address]

    @property
    def listed(self) -> bool:
        """Whether there was a complete listing yet."""
        return self._listed

    def wait_synced(self, timeout: float | None) -> bool:
        """Whether there is a complete listing, within `timeout` seconds."""
        return signals.wait(self._settled.wait, timeout) and self._listed

    def end(self) -> None:
        """Nothing will be written any more: whoever waits for a listing is let go."""
        self.stale = True
        self._settled.set()

    def apply(self, changes: Sequence[Change], revision: int) -> Changed:
        """Make `changes`, in their order."""
        changed = set()
        left = set()
        with self._lock:
            for name, actor_id, endpoint in changes:
                there = self._by_name.get(name)
                before = None if there is None else there.get(actor_id)
                if endpoint is not None:
                    if there is None:
                        there = self._by_name[name] = {}
                    there[actor_id] = endpoint
                    self._count(endpoint, 1)
                elif there is not None and before is not None:
                    del there[actor_id]
                    if not there:
                        del self._by_name[name]
                else:
                    continue
                if before is not None:
                    self._count(before, -1)
                    left.add(before.address)
                self._answers.pop(name, None)
                changed.add(name)
            absent = frozenset(address for address in left if address not in self._addresses)
            self._advance(revision, changed=bool(changed))
        return Changed(frozenset(changed), absent)

    def _advance(self, revision: int, *, changed: bool) -> None:
        self._revision = max(self._revision + changed, revision)

    def subscribe(self, on_change: OnChange, on_absence: OnAbsence = lambda _: None) -> Callable[[], None]:
        """See `Directory.subscribe`."""
        token = object()
        with self._lock:
            self._subscribers[token] = on_change, on_absence

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers.pop(token, None)

        return unsubscribe

    def tell(self, changed: Changed) -> None:
        """Call the subscribers, if there is something to tell."""
        if not changed.names:
            return
        with self._lock:
            subscribers = list(self._subscribers.values())
        for on_change, on_absence in subscribers:
            try:
                on_change(changed.names)
                if changed.absent:
                    on_absence(changed.absent)
            except Exception:
                _log.exception("a subscriber of the registry's directory failed")
