"""Address: a host and a port, taken apart, checked and put together in one place.

An IPv6 literal stands in brackets wherever a port follows it (RFC 3986, section 3.2.2), and may stand without
them where the host is alone. A zone id (``fe80::1%eth0``) names the interface of a link-local address
(RFC 4007, section 11).
"""

from __future__ import annotations

import errno
import ipaddress
import re
from dataclasses import dataclass
from typing import Self

from iris_actor.errors import AddressInUseError, AddressUnusableError, InvalidAddressError

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?\Z")
_LONGEST_NAME = 253  # RFC 1035, section 2.3.4
_DIGITS_AND_DOTS = re.compile(r"[0-9]*\.[0-9.]*\Z")
_ZONE = re.compile(r"[A-Za-z0-9_.\-]+\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")
_RULE = "an address is host:port, with a port from 1 to 65535 and an IPv6 host in brackets"
_HOST_RULE = "a host is a name, an IPv4 address, or an IPv6 address with or without brackets"
_UNUSABLE = {
    errno.EADDRNOTAVAIL: "no interface of this machine has the address",
    errno.EACCES: "this process may not take the port",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens. ``str()`` gives ``host:port``, with brackets around an IPv6 host.

    Args:
        host: a name, or an IPv4 or IPv6 address. Brackets are taken off.
        port: from 0 to 65535; 0 is a port that the kernel is yet to choose.

    Raises:
        InvalidAddressError: (a ValueError) for what is no host or no port.
    """

    host: str
    port: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", _host(self.host))
        if isinstance(self.port, bool) or not isinstance(self.port, int) or not 0 <= self.port < 65536:
            raise InvalidAddressError(self.port, "a port is a whole number from 0 to 65535")

    @classmethod
    def parse(cls, text: str, *, default_port: int | None = None) -> Self:
        """The address that `text` gives as ``host:port``.

        Args:
            text: as a user, a URL or the registry has it.
            default_port: taken where `text` has none; None asks for one.

        Raises:
            InvalidAddressError: (a ValueError) for anything else, with `text` and the rule.
        """
        if not isinstance(text, str):
            raise InvalidAddressError(text, _RULE)
        if "://" in text:
            raise InvalidAddressError(text, f"{_RULE}; leave out {text.partition('://')[0] + '://'!r}")
        host, colon, port = text.rpartition(":")
        if ":" in host and not host.startswith("["):
            # Also "::1", whose last part might as well be a port.
            raise InvalidAddressError(text, f"{_RULE}; it has more than one colon and no brackets")
        if not colon or text.endswith("]"):
            if default_port is None:
                raise InvalidAddressError(text, f"{_RULE}; the port is missing")
            host, port = text, str(default_port)
        if not _PORT.match(port) or not 0 < int(port) < 65536:
            raise InvalidAddressError(text, f"{_RULE}; {port!r} is no such port")
        try:
            return cls(host, int(port))
        except InvalidAddressError as error:
            raise InvalidAddressError(text, f"{_RULE}; {error.rule}") from None

    @property
    def candidates(self) -> tuple[Self, ...]:
        """What to connect to, or to bind, one by one: itself, or the loopback addresses for ``localhost``.

        gRPC takes ``localhost`` to be both of them, whatever the hosts file says (RFC 6761, section 6.3).
        """
        if self.is_loopback and not self.is_literal:
            cls = type(self)
            return cls("127.0.0.1", self.port), cls("::1", self.port)
        return (self,)

    @property
    def is_literal(self) -> bool:
        """Whether the host is an IP address, for which nobody has to be asked."""
        return _literal(self.host) is not None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host.lower().rstrip(".") == "localhost":
            return True
        literal = _literal(self.host)
        return literal is not None and _inner(literal).is_loopback

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for all interfaces of a machine: to be bound, not to be called."""
        literal = _literal(self.host)
        return literal is not None and _inner(literal).is_unspecified

    @property
    def target(self) -> str:
        """The address for gRPC's clients, which would take a host that is called ``dns`` for a scheme."""
        return f"dns:///{self}".replace("%", "%25")

    def bind_error(self, error: OSError) -> AddressInUseError | AddressUnusableError:
        """What `error`, which a socket raised when it was to be bound here, means to the user."""
        if error.errno == errno.EADDRINUSE:
            return AddressInUseError(str(self))
        said = error.strerror or str(error)
        known = _UNUSABLE.get(error.errno) if error.errno is not None else None
        return AddressUnusableError(str(self), error.errno, f"{known} ({said})" if known else said)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _host(text: str) -> str:
    if not isinstance(text, str):
        raise InvalidAddressError(text, _HOST_RULE)
    bracketed = text.startswith("[") and text.endswith("]")
    host = text[1:-1] if bracketed else text
    wrong = None
    if bracketed or ":" in host:
        if ":" not in host or _literal(host) is None:
            wrong = f"{host!r} is no IPv6 address, and a host takes no port"
    elif not host:
        wrong = "the host is missing"
    elif not host.isascii():
        wrong = f"{host!r} is not ASCII (such a name has a form that begins with 'xn--')"
    elif not _NAME.match(host) or len(host) > _LONGEST_NAME:
        wrong = f"{host!r} is no host name: letters, digits, '-' and '_' between dots"
    elif _DIGITS_AND_DOTS.match(host) and _literal(host) is None:
        # A name of digits alone may be a container's; with dots it is an IPv4 address or nothing: getaddrinfo
        # and gRPC have different ideas of "127.1".
        wrong = f"{host!r} is no IPv4 address, which is four numbers"
    if wrong is not None:
        raise InvalidAddressError(text, f"{_HOST_RULE}; {wrong}")
    return host


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    plain, percent, zone = host.partition("%")
    if percent and not (":" in plain and _ZONE.match(zone)):
        return None
    try:
        return ipaddress.ip_address(plain)
    except ValueError:
        return None


def _inner(
    literal: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 one stands for (RFC 4291, section 2.5.5.2), or itself."""
    mapped = literal.ipv4_mapped if isinstance(literal, ipaddress.IPv6Address) else None
    return literal if mapped is None else mapped
