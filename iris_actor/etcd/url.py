"""EtcdURL: what the URL of an etcd says, taken apart and checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote, unquote

from iris_actor.address import Address
from iris_actor.errors import InvalidAddressError, InvalidURLError

SCHEME = "etcd"
DEFAULT_PORT = 2379
DEFAULT_PREFIX = "/iris"
DEFAULT_TTL = 10
MAX_TTL = 86_400

SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*\Z")
"""What one segment of a prefix, or the name of a memory registry, is made of."""
_QUERY = ("ttl", "ca", "cert", "key")


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdURL:
    """``etcd://[user:password@]host[:port][,host...][/prefix][?ttl=10&ca=..&cert=..&key=..]``.

    Checked when built. ``str()`` and ``repr()`` hide the password, `text` does not.

    Attributes:
        hosts: ``host:port`` of each etcd endpoint, in the order in which they are tried.
        prefix: what every key in etcd begins with.
        user: of etcd, or None.
        password: its password, or None.
        ttl: seconds that the lease of a process, and every key on it, outlives the process.
        ca: file with the certificates (PEM) that the server's is checked against; turns TLS on.
        cert: file with the client's certificate chain (PEM).
        key: file with its private key (PEM).

    Raises:
        InvalidURLError: (a ValueError) with the reason.
    """

    hosts: tuple[str, ...] = ()
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
        scheme, rest = split_scheme(url)
        if scheme != SCHEME:
            raise InvalidURLError(without_password(url), f"unknown scheme {scheme!r}")
        return cls(**etcd_fields(without_password(url), rest))

    @property
    def text(self) -> str:
        """The URL in its one canonical form, password included: equal URLs have equal texts."""
        return format_etcd(self, self.password)

    def __str__(self) -> str:
        return format_etcd(self)


def without_password(url: str) -> str:
    """`url` as it may be shown, be it a good one or not."""
    return re.sub(r"(://[^@/?]*?:)[^/?]*@", r"\1***@", url)


def split_scheme(url: str) -> tuple[str, str]:
    """The scheme of `url`, and what follows ``://``.

    Raises:
        InvalidURLError: (a ValueError) it has none, has a fragment, or is no str.
    """
    if not isinstance(url, str):
        raise InvalidURLError(repr(url), "a registry URL is a str")
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise InvalidURLError(without_password(url), "it has no scheme")
    if "#" in rest:
        raise InvalidURLError(without_password(url), "a registry URL has no fragment")
    return scheme, rest


def etcd_fields(shown: str, rest: str) -> dict[str, Any]:
    """The fields of the `EtcdURL` whose text after the scheme is `rest`.

    Args:
        shown: the whole URL, for errors.
        rest: what follows ``://``.

    Raises:
        InvalidURLError: (a ValueError) with the reason.
    """
    rest, question, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    userinfo, at, addresses = authority.rpartition("@")
    user = password = None
    if at:
        user, colon, password = userinfo.partition(":")
        if not user or not colon:
            raise InvalidURLError(shown, "before '@' stands user:password")
        user, password = unquote(user), unquote(password)
    options = _options(shown, query) if question else {}
    return {
        "hosts": tuple(_host(shown, address) for address in addresses.split(",")),
        "prefix": _prefix(shown, path) if slash else DEFAULT_PREFIX,
        "user": user,
        "password": password,
        "ttl": _ttl(shown, options.pop("ttl", str(DEFAULT_TTL))),
        **options,
    }


def format_etcd(url: EtcdURL, password: str | None = None) -> str:
    """`url` in its one canonical form, with `password`; without one, a password in it is shown as stars."""
    shown = "***" if password is None else quote(password, safe="")
    user = "" if url.user is None else f"{quote(url.user, safe='')}:{shown}@"
    options = {} if url.ttl == DEFAULT_TTL else {"ttl": str(url.ttl)}
    files = {"ca": url.ca, "cert": url.cert, "key": url.key}
    options |= {option: quote(path, safe="/") for option, path in files.items() if path is not None}
    query = "&".join(f"{option}={value}" for option, value in options.items())
    prefix = "" if url.prefix == DEFAULT_PREFIX else url.prefix
    return f"{SCHEME}://{user}{','.join(url.hosts)}{prefix}{'?' if query else ''}{query}"


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
        if not SEGMENT.match(segment):
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
