"""Binding: a gRPC server on all the addresses that a host stands for, or the reason why not.

gRPC says that it cannot bind, not why, and is content with one of several addresses: callers of the others
would then reach whoever has the port there. So each address is bound by itself, and a plain socket tries the
same before, whose error has a number.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from iris_actor.address import Address
from iris_actor.errors import AddressInUseError, AddressUnusableError
from iris_actor.rpc.side_thread import in_side_thread

_TRIES = 10
"""How often the kernel is asked for a port, as long as what it chose for one address is taken at another."""


async def bound_server(
    address: Address, make: Callable[[], Any], add_port: Callable[[Any, str], int]
) -> tuple[Any, int]:
    """A server, not started yet, that is bound to `address`; and its port.

    Args:
        address: what to bind; port 0 lets the kernel choose, the same one for all addresses of the host.
        make: makes a gRPC server.
        add_port: has a server bind one ``host:port``; returns the port, or raises RuntimeError.

    Raises:
        AddressInUseError: (an OSError) the port is taken, at one of the addresses at least.
        AddressUnusableError: (an OSError) for every other reason.
    """
    literals = list(address.candidates)
    if not all(one.is_literal for one in literals):
        literals = await in_side_thread(partial(_looked_up, address))
    for _ in range(_TRIES):
        server = make()
        port, problem = _bind(address, literals, server, add_port)
        if problem is None:
            return server, port
        if port != 0:
            # A server of gRPC's that never started keeps the ports that it bound.
            await server.start()
            await server.stop(0)
        if port == 0 or address.port != 0:
            break
    assert problem is not None  # noqa: S101 - no attempt succeeded
    raise problem


def _bind(
    address: Address, literals: list[Address], server: Any, add_port: Callable[[Any, str], int]
) -> tuple[int, OSError | None]:
    """The port that is bound, 0 if none is; and what is in the way, if anything is."""
    port, problem = 0, None
    for literal in literals:
        wanted = Address(literal.host, port or address.port)
        try:
            _try(wanted)
            port = add_port(server, str(wanted))
        except OSError as error:
            found = address.bind_error(error)
            if isinstance(found, AddressInUseError):
                return port, found
            problem = problem or found
        except RuntimeError as error:  # taken in between, or for a reason that no plain socket meets
            return port, AddressUnusableError(str(address), None, str(error))
    # A name may well have an address that is not there: the IPv6 one where IPv6 is off, or another machine's.
    return port, None if port else problem


def _looked_up(address: Address) -> list[Address]:
    try:
        infos = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        reason = f"there is no host {address.host!r} ({error.strerror})"
        raise AddressUnusableError(str(address), error.errno, reason) from None
    return [Address(host, address.port) for host in dict.fromkeys(str(info[4][0]) for info in infos)]


def _try(literal: Address) -> None:
    """Bind `literal` with a plain socket, and let it go.

    Raises:
        OSError: it cannot be bound, and why.
    """
    numeric = socket.AI_NUMERICHOST  # nobody is asked, so nothing blocks
    family, kind, _, _, where = socket.getaddrinfo(
        literal.host, literal.port, type=socket.SOCK_STREAM, flags=numeric
    )[0]
    with socket.socket(family, kind) as plain:
        # As gRPC does it: old connections of a port are in nobody's way, and "::" is IPv4 too.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            plain.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        plain.bind(where)
