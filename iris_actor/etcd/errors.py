"""What etcd answers that its callers act upon. As they are, these errors never reach a user."""

from __future__ import annotations

from iris_actor.errors import RegistryError


class LeaseGoneError(RegistryError):
    """The lease does not exist any more."""


class CompactedError(RegistryError):
    """The revision has been compacted."""


class KeyTakenError(RegistryError):
    """The key is held by another process. `key` is the key."""

    def __init__(self, url: str, key: bytes) -> None:
        super().__init__(f"registry {url}: {key.decode(errors='replace')} belongs to another process")
        self.url = url
        self.key = key
