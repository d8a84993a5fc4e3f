"""DirectoryCache: the endpoints below one namespace, as a watch reports them.

::

    watch thread ─ replace / apply ─► cache ─► subscribers
                                        ▲
    any thread ─────── endpoints(name) ─┘   (one dict look-up, no lock)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from iris_actor.registry.endpoint import Endpoint

Entry = tuple[int, Endpoint]
"""Order of registration, and what was registered."""


class DirectoryCache:
    """Endpoints by name. Written by one watch, read by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards writes; the dicts are read without it
        self._entries: dict[str, dict[str, Entry]] = {}
        self._endpoints: dict[str, tuple[Endpoint, ...]] = {}
        self._subscribers: list[Callable[[frozenset[str]], None]] = []
        self._synced = threading.Event()
        self.revision = 0
        self.stale = True

    # --- the watch's side ---------------------------------------------------------------------------

    def replace(self, entries: Iterable[tuple[str, Entry]], revision: int) -> None:
        """A complete listing: (key, entry) pairs at `revision`."""
        listed: dict[str, dict[str, Entry]] = {}
        for key, entry in entries:
            listed.setdefault(entry[1].name, {})[key] = entry
        with self._lock:
            names = {*self._entries, *listed}
            changed = {name for name in names if self._entries.get(name) != listed.get(name)}
            self._entries = listed
            self._rebuild(changed)
            self.revision = revision
            self.stale = False
            self._synced.set()
        self._tell(changed)

    def apply(
        self, put: Iterable[tuple[str, Entry]], deleted: Iterable[tuple[str, str]], revision: int
    ) -> None:
        """A change: new (key, entry) pairs, and (key, full name) pairs that are gone."""
        changed: set[str] = set()
        with self._lock:
            for key, name in deleted:
                if self._entries.get(name, {}).pop(key, None) is not None:
                    changed.add(name)
            for key, entry in put:
                known = self._entries.setdefault(entry[1].name, {})
                if known.get(key) != entry:
                    known[key] = entry
                    changed.add(entry[1].name)
            self._rebuild(changed)
            self.revision = max(self.revision, revision)
            self.stale = False
        self._tell(changed)

    def _rebuild(self, names: Iterable[str]) -> None:
        for name in names:
            entries = self._entries.get(name)
            if entries:
                ordered = sorted(entries.items(), key=lambda item: (item[1][0], item[0]))
                self._endpoints[name] = tuple(endpoint for _, (_, endpoint) in ordered)
            else:
                self._entries.pop(name, None)
                self._endpoints.pop(name, None)

    def _tell(self, changed: set[str]) -> None:
        if changed:
            names = frozenset(changed)
            for subscriber in list(self._subscribers):
                subscriber(names)

    # --- the readers' side --------------------------------------------------------------------------

    def endpoints(self, name: str) -> tuple[Endpoint, ...]:
        """See `Directory.endpoints`."""
        return self._endpoints.get(name, ())

    def names(self, prefix: str) -> list[str]:
        """See `Directory.names`."""
        with self._lock:
            return sorted(name for name in self._endpoints if name.startswith(prefix))

    def wait_synced(self, timeout: float | None) -> bool:
        """See `Directory.wait_synced`."""
        return self._synced.wait(timeout)

    def subscribe(self, on_change: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """See `Directory.subscribe`."""
        with self._lock:
            self._subscribers = [*self._subscribers, on_change]

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers = [known for known in self._subscribers if known is not on_change]

        return unsubscribe


class DirectoryHandle:
    """One user's hold on a cache; a `Directory`."""

    def __init__(self, cache: DirectoryCache, release: Callable[[], None]) -> None:
        self._cache = cache
        self._release: Callable[[], None] | None = release
        self.endpoints = cache.endpoints

    @property
    def revision(self) -> int:
        """See `Directory`."""
        return self._cache.revision

    @property
    def stale(self) -> bool:
        """See `Directory`."""
        return self._cache.stale

    def names(self, prefix: str = "") -> list[str]:
        """See `Directory`."""
        return self._cache.names(prefix)

    def wait_synced(self, timeout: float | None = None) -> bool:
        """See `Directory`."""
        return self._cache.wait_synced(timeout)

    def subscribe(self, on_change: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """See `Directory`."""
        return self._cache.subscribe(on_change)

    def close(self) -> None:
        """See `Directory`."""
        release, self._release = self._release, None
        if release is not None:
            release()
