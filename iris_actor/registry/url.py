"""RegistryURL: what a registry URL says, taken apart and checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote, unquote

from iris_actor.address import Address
from iris_actor.errors import InvalidAddressError, InvalidURLError

DEFAULT_PORT = 2379
DEFAULT_PREFIX = "/iris"
DEFAULT_TTL = 10
MAX_TTL = 86_400

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*\Z")
_QUERY = ("ttl", "ca", "cert", "key")


@dataclass(frozen=True, slots=True)
class RegistryURL:
    """``etcd://[user:password@]host[:port][,host...][/prefix][?ttl=10&ca=..&cert=..&key=..]``, ``memory://[name]``.

    Checked when built. ``str()`` and ``repr()`` hide the password, `text` does not.

    Attributes:
        scheme: ``etcd`` or ``memory``.
        hosts: ``host:port`` of each etcd endpoint, in the order in which they are tried.
        name: of a memory registry.
        prefix: what every key in etcd begins with.
        user: of etcd, or None.
        password: its password, or None.
        ttl: seconds that the announcements of a process outlive it.
        ca: file with the certificates (PEM) that the server's is checked against; turns TLS on.
        cert: file with the client's certificate chain (PEM).
        key: file with its private key (PEM).

    Raises:
        InvalidURLError: (a ValueError) with the reason.
    """

    scheme: str
    hosts: tuple[str, ...] = ()
    name: str = ""
    prefix: str = DEFAULT_PREFIX
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ttl: int = DEFAULT_TTL
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.ttl, bool) or not isinstance(self.ttl, int) or not 1 <= self.ttl <= MAX_TTL:
            raise self._bad(f"ttl must be a whole number of seconds from 1 to {MAX_TTL}, got {self.ttl!r}")
        if (self.user is None) != (self.password is None):
            raise self._bad("user and password must both be given or both be left out")
        if (self.cert is None) != (self.key is None):
            raise self._bad("cert and key must both be given or both be left out")
        if self.cert is not None and self.ca is None:
            raise self._bad("cert and key need a ca, which the server is checked against")

    def _bad(self, reason: str) -> InvalidURLError:
        return InvalidURLError(str(self), reason)

    @classmethod
    def parse(cls, url: str) -> Self:
        """The parts of `url`.

        Raises:
            InvalidURLError: (a ValueError) with the reason; it shows the URL without its password.
        """
        if not isinstance(url, str):
            raise InvalidURLError(repr(url), "a registry URL is a str")
        shown = re.sub(r"(://[^@/?]*?:)[^/?]*@", r"\1***@", url)
        scheme, separator, rest = url.partition("://")
        if not separator:
            raise InvalidURLError(shown, "it has no scheme")
        if "#" in rest:
            raise InvalidURLError(shown, "a registry URL has no fragment")
        rest, question, query = rest.partition("?")
        if scheme == "memory":
            if question:
                raise InvalidURLError(shown, "a memory registry takes no options")
            if rest and not _SEGMENT.match(rest):
                raise InvalidURLError(shown, f"{rest!r} is no name: letters, digits, '_', '-' and '.'")
            return cls("memory", name=rest)
        if scheme != "etcd":
            raise InvalidURLError(shown, f"unknown scheme {scheme!r}")
        authority, slash, path = rest.partition("/")
        userinfo, at, addresses = authority.rpartition("@")
        user = password = None
        if at:
            user, colon, password = userinfo.partition(":")
            if not user or not colon:
                raise InvalidURLError(shown, "before '@' stands user:password")
            user, password = unquote(user), unquote(password)
        options = _options(shown, query) if question else {}
        return cls(
            "etcd",
            hosts=tuple(_host(shown, address) for address in addresses.split(",")),
            prefix=_prefix(shown, path) if slash else DEFAULT_PREFIX,
            user=user,
            password=password,
            ttl=_ttl(shown, options.pop("ttl", str(DEFAULT_TTL))),
            **options,
        )

    @property
    def text(self) -> str:
        """The URL in its one canonical form, password included: equal URLs have equal texts."""
        return self._format(quote(self.password or "", safe=""))

    def __str__(self) -> str:
        return self._format("***")

    def _format(self, password: str) -> str:
        if self.scheme == "memory":
            return f"memory://{self.name}"
        user = "" if self.user is None else f"{quote(self.user, safe='')}:{password}@"
        options = {} if self.ttl == DEFAULT_TTL else {"ttl": str(self.ttl)}
        files = {"ca": self.ca, "cert": self.cert, "key": self.key}
        options |= {option: quote(path, safe="/") for option, path in files.items() if path is not None}
        query = "&".join(f"{option}={value}" for option, value in options.items())
        prefix = "" if self.prefix == DEFAULT_PREFIX else self.prefix
        return f"etcd://{user}{','.join(self.hosts)}{prefix}{'?' if query else ''}{query}"


def _host(shown: str, address: str) -> str:
    try:
        return str(Address.parse(address, default_port=DEFAULT_PORT))
    except InvalidAddressError as error:
        raise InvalidURLError(shown, f"{address!r} in it: {error.rule}") from None


def _prefix(shown: str, path: str) -> str:
    path = unquote(path).strip("/")
    if not path:
        return DEFAULT_PREFIX
    for segment in path.split("/"):
        if not _SEGMENT.match(segment):
            raise InvalidURLError(shown, f"bad segment {segment!r} in the prefix")
    return f"/{path}"


def _options(shown: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in query.split("&"):
        option, _, value = part.partition("=")
        if option not in _QUERY:
            raise InvalidURLError(shown, f"unknown option {option!r}; there are {', '.join(_QUERY)}")
        if option in options:
            raise InvalidURLError(shown, f"option {option!r} is given twice")
        if not value:
            raise InvalidURLError(shown, f"option {option!r} has no value")
        options[option] = unquote(value)
    return options


def _ttl(shown: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise InvalidURLError(shown, f"ttl must be a whole number of seconds, got {text!r}")
    return int(text)
