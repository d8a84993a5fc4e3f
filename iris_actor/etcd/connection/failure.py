"""EtcdFailure: what an exception of etcd3's or grpc's means; the one place where they are translated."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import grpc

from iris_actor.errors import RegistryError, RegistryUnavailableError
from iris_actor.etcd.errors import CompactedError, LeaseGoneError
from iris_actor.etcd.stubs import etcd3


class FailureKind(Enum):
    """What to do about a failure."""

    ABSENT = "absent"
    """The endpoint did not answer, or cannot serve at the moment: ask another one, or later."""
    UNAUTHENTICATED = "unauthenticated"
    """The token is not, or no longer, good: get another one."""
    LEASE_GONE = "lease gone"
    COMPACTED = "compacted"
    REFUSED = "refused"
    """etcd will not do it, however often it is asked."""


_ABSENT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
}
_TOKEN_TEXTS = ("invalid auth token", "revision of auth store is old")


@dataclass(frozen=True, slots=True)
class EtcdFailure:
    """A failed call to etcd: its kind, and what etcd or gRPC said."""

    kind: FailureKind
    details: str

    @classmethod
    def of(cls, error: Exception) -> EtcdFailure:
        """What `error` means."""
        # etcd3 replaces grpc's error by one of its own without words; grpc's is the context of that one.
        if isinstance(error, etcd3.Etcd3Exception) and isinstance(error.__context__, grpc.RpcError):
            error = error.__context__
        if not isinstance(error, grpc.RpcError):
            # grpc raises a bare ValueError for calls on a channel that was closed meanwhile.
            return cls(FailureKind.ABSENT, str(error) or type(error).__name__)
        call: Any = error
        code, details = call.code(), str(call.details() or "")
        if code is grpc.StatusCode.UNAUTHENTICATED or any(text in details for text in _TOKEN_TEXTS):
            return cls(FailureKind.UNAUTHENTICATED, details)
        if "requested lease not found" in details:
            return cls(FailureKind.LEASE_GONE, details)
        if "revision has been compacted" in details:
            return cls(FailureKind.COMPACTED, details)
        kind = FailureKind.ABSENT if code in _ABSENT else FailureKind.REFUSED
        name = code.name if code is not None else "UNKNOWN"
        return cls(kind, f"{details} ({name})" if details else name)

    def error(self, url: str, doing: str, since: float | None = None) -> RegistryError:
        """The error that users, or the rest of this package, get to see.

        Args:
            url: of the registry, without its password.
            doing: what was tried.
            since: when the registry answered no more, in seconds since the epoch.
        """
        if self.kind is FailureKind.ABSENT:
            return RegistryUnavailableError(url, f"{doing}: {self.details}", since)
        kinds = {FailureKind.LEASE_GONE: LeaseGoneError, FailureKind.COMPACTED: CompactedError}
        return kinds.get(self.kind, RegistryError)(f"registry {url}: {doing}: {self.details}")
