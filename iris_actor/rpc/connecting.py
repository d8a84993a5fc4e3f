"""Connecting: channels to servers, and what it means when one does not come about."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from iris_actor.address import Address
from iris_actor.errors import AuthenticationError, CallError, ProtocolError, ServerUnavailableError
from iris_actor.listener import FaultKind, TLSFiles, find_fault
from iris_actor.rpc.credentials import Credentials
from iris_actor.rpc.side_thread import in_side_thread

_ERRORS: dict[FaultKind, type[CallError]] = {
    FaultKind.NOBODY: ServerUnavailableError,
    FaultKind.SILENT: ServerUnavailableError,
    FaultKind.CREDENTIALS: AuthenticationError,
    FaultKind.STRANGER: ProtocolError,
}


def open_channel(
    address: Address, credentials: Credentials | None, options: Sequence[tuple[str, Any]]
) -> grpc.aio.Channel:
    """A channel to `address`, encrypted when the credentials say so. Call in the I/O thread.

    Raises:
        AuthenticationError: a file of the credentials cannot be used.
    """
    if credentials is None or not credentials.uses_tls:
        return grpc.aio.insecure_channel(address.target, options=options)
    if credentials.server_name:
        options = [*options, ("grpc.ssl_target_name_override", credentials.server_name)]
    try:
        tls = grpc.ssl_channel_credentials(
            *(None if path is None else Path(path).read_bytes() for path in _files(credentials))
        )
        return grpc.aio.secure_channel(address.target, tls, options=options)
    except (OSError, ValueError) as error:
        raise AuthenticationError(f"cannot use the credentials for {address}: {error}") from error


def _files(credentials: Credentials) -> tuple[str | Path | None, str | Path | None, str | Path | None]:
    return credentials.ca, credentials.key, credentials.cert


async def connection_error(address: Address, credentials: Credentials | None, said: str) -> CallError:
    """The error for a connection that did not come about: what is wrong, and whether to try again.

    Args:
        address: of the server.
        credentials: what was shown to it.
        said: what gRPC said about it; told where nothing better is found.
    """
    tls = None
    if credentials is not None and credentials.uses_tls:
        tls = TLSFiles(credentials.ca, credentials.cert, credentials.key, credentials.server_name)
    fault = await in_side_thread(partial(find_fault, address, tls))
    if fault is None:
        return ServerUnavailableError(f"cannot connect to {address}: {said}")
    return _ERRORS[fault.kind](fault.sentence)


def not_ours(address: Address, details: str) -> ProtocolError:
    """The error for a gRPC server that does not know our methods."""
    return ProtocolError(f"what listens at {address} speaks gRPC and is no server of iris_actor: {details}")
