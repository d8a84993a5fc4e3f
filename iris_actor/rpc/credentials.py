"""Credentials: what lets a peer in, and what proves a server to its callers."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import grpc

TOKEN_KEY = "authorization"  # noqa: S105 - the name of a header
_SCHEME = "Bearer "


@dataclass(frozen=True, slots=True)
class Credentials:
    """A shared token, TLS, or both. The same object serves a server and its callers.

    A payload is a pickle, so whoever may call may run code: keep the token and the keys secret.

    Attributes:
        token: shared secret that callers show and servers check before anything is unpickled. Without
            TLS it travels in clear text.
        ca: PEM file of the authority that signed the other side's certificate. A server that has it asks
            callers for a certificate (mutual TLS).
        cert: PEM file of this side's certificate.
        key: PEM file of its private key.
        server_name: name in the server's certificate, where it differs from the address that is called.

    Raises:
        ValueError: for an empty set, a certificate without its key, or an empty or non-ASCII token.
        OSError: (when first used) a file cannot be read.
    """

    token: str | None = None
    ca: str | Path | None = None
    cert: str | Path | None = None
    key: str | Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if self.token is None and self.ca is None and self.cert is None:
            raise ValueError("Credentials needs a token, or TLS files (ca, cert and key), or both")
        if (self.cert is None) != (self.key is None):
            raise ValueError("Credentials: cert and key go together")
        token = self.token
        if token is not None and not (token and token.isascii() and token.isprintable()):
            raise ValueError("Credentials: token must be printable ASCII and not empty")

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{field.name}={'***' if field.name == 'token' else getattr(self, field.name)!r}"
            for field in fields(self)
            if getattr(self, field.name) is not None
        )
        return f"Credentials({shown})"

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.ca is not None or self.cert is not None

    def admits(self, metadata: Sequence[tuple[str, str | bytes]] | Mapping[str, str]) -> bool:
        """Whether a call with this gRPC metadata shows the token (always True without one)."""
        if self.token is None:
            return True
        expected = (_SCHEME + self.token).encode()
        pairs = metadata.items() if isinstance(metadata, Mapping) else metadata
        shown = next((value for key, value in pairs if key == TOKEN_KEY), "")
        return hmac.compare_digest(shown.encode() if isinstance(shown, str) else shown, expected)

    def metadata(self) -> list[tuple[str, str]]:
        """What a caller adds to each gRPC call."""
        return [] if self.token is None else [(TOKEN_KEY, _SCHEME + self.token)]


def _read(path: str | Path | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


def server_credentials(credentials: Credentials) -> Any:
    """gRPC's form for a server; needs `cert` and `key`."""
    if credentials.cert is None:
        raise ValueError("a server that uses TLS needs cert and key; Credentials has only ca")
    pair = (_read(credentials.key), _read(credentials.cert))
    ca = _read(credentials.ca)
    return grpc.ssl_server_credentials([pair], root_certificates=ca, require_client_auth=ca is not None)
