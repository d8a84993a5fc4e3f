"""WatchedDirectory: keeps a DirectoryCache equal to one namespace in etcd."""

from __future__ import annotations

from collections.abc import Sequence

from iris_actor.errors import RegistryError, RegistryUnavailableError
from iris_actor.etcd.key_range import KeyRange, KeyValue
from iris_actor.etcd.store import EtcdStore
from iris_actor.etcd.watch.listener import Change
from iris_actor.registry.directory.cache import Change as EndpointChange
from iris_actor.registry.directory.cache import DirectoryCache
from iris_actor.registry.endpoint_keys import EndpointKeys


class WatchedDirectory:
    """A `WatchListener`. Watches from when it is made until `close`.

    Args:
        store: the etcd.
        namespace: what to watch.
        keys: of the registry.
    """

    def __init__(self, store: EtcdStore, namespace: str, keys: EndpointKeys) -> None:
        self.cache = DirectoryCache(stale=True)
        self._store = store
        self._keys = keys
        self._watch = store.watch(
            KeyRange.prefix(keys.below(f"{namespace}/")), self, name=f"namespace {namespace!r}"
        )

    @property
    def trouble(self) -> RegistryError | None:
        """Why the cache may be behind, or is not filled yet; None when all is well."""
        trouble = self._watch.refusal or self._store.trouble
        if trouble is None and not self.cache.listed:
            return RegistryUnavailableError(str(self._store.url), "it has not answered yet")
        return trouble

    def listed(self, keys: Sequence[KeyValue], revision: int) -> None:
        """Take what is there."""
        endpoints = (self._keys.decode(kv.key, kv.value) for kv in keys)
        changed = self.cache.replace((each for each in endpoints if each is not None), revision)
        self.cache.tell(changed)

    def changed(self, changes: Sequence[Change], revision: int) -> None:
        """Take what has changed."""
        taken: list[EndpointChange] = []
        for change in changes:
            endpoint = None if change.value is None else self._keys.decode(change.key, change.value)
            place = self._keys.split(change.key)
            if place is not None:
                # Also where a value is unreadable: what it was before is there no more.
                taken.append((*place, endpoint))
        self.cache.tell(self.cache.apply(taken, revision))

    def stale(self, stale: bool) -> None:
        """Note whether the cache may be behind."""
        self.cache.stale = stale

    def close(self) -> None:
        """End the watch, and let go whoever waits for a listing. Idempotent."""
        self._watch.close()
        self.cache.end()
