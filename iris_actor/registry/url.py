"""RegistryURL: the address of a registry, parsed and checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from iris_actor.errors import InvalidURLError

DEFAULT_PREFIX = "/iris"
DEFAULT_TTL = 10
DEFAULT_PORT = 2379
_QUERY = ("ttl", "ca", "cert", "key")


@dataclass(frozen=True, slots=True)
class RegistryURL:
    """``etcd://[user:password@]host:2379[,host2:2379...][/prefix][?ttl=10&ca=...]`` or ``memory://name``.

    Attributes:
        scheme: ``"etcd"`` or ``"memory"``.
        endpoints: ``host:port`` of each etcd member.
        name: of an in-memory registry.
        prefix: below which keys are stored, with a leading ``/``.
        ttl: seconds for which a registration outlives its process.
        user: etcd user.
        password: of that user.
        ca: file of the authority that signed etcd's certificate; turns TLS on.
        cert: file of this client's certificate.
        key: file of its private key.
    """

    scheme: str
    endpoints: tuple[str, ...] = ()
    name: str = ""
    prefix: str = DEFAULT_PREFIX
    ttl: int = DEFAULT_TTL
    user: str | None = None
    password: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    @classmethod
    def parse(cls, url: str, **keywords: Any) -> Self:
        """The parts of `url`; `keywords` (user, password, ttl, ca, cert, key) override those in it.

        Raises:
            InvalidURLError: (a ValueError) saying what is wrong.
        """
        if not isinstance(url, str):
            raise InvalidURLError(repr(url), "a URL is a str")
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise InvalidURLError(url, str(error)) from None
        if parts.scheme == "memory":
            name = parts.netloc + parts.path
            if parts.query or keywords:
                raise InvalidURLError(url, "memory:// takes no options")
            return cls("memory", name=name)
        if parts.scheme != "etcd":
            raise InvalidURLError(url, f"unknown scheme {parts.scheme!r}")
        login, at, hosts = parts.netloc.rpartition("@")
        user, colon, password = login.partition(":")
        if at and not (user and colon and password):
            raise InvalidURLError(_hidden(url), "a login is user:password@")
        shown = _hidden(url) if at else url
        parsed = cls(
            "etcd",
            endpoints=tuple(_endpoint(shown, host) for host in hosts.split(",")),
            prefix=_prefix(shown, parts.path),
            user=unquote(user) if at else None,
            password=unquote(password) if at else None,
        )
        options = _options(shown, parts.query)
        options.update({name: value for name, value in keywords.items() if value is not None})
        unknown = sorted(set(options) - {*_QUERY, "user", "password"})
        if unknown:
            raise InvalidURLError(shown, f"unknown option {unknown[0]!r} (known: {', '.join(_QUERY)})")
        if "ttl" in options:
            options["ttl"] = _ttl(shown, options["ttl"])
        parsed = replace(parsed, **options)
        if (parsed.user is None) != (parsed.password is None):
            raise InvalidURLError(shown, "user and password go together")
        if (parsed.cert is None) != (parsed.key is None):
            raise InvalidURLError(shown, "cert and key go together")
        if parsed.cert is not None and parsed.ca is None:
            raise InvalidURLError(shown, "cert and key need ca")
        return parsed

    def text(self, *, password: bool) -> str:
        """The URL again, with or without the password."""
        if self.scheme == "memory":
            return f"memory://{self.name}"
        login = ""
        if self.user is not None:
            secret = quote(self.password or "", safe="") if password else "***"
            login = f"{quote(self.user, safe='')}:{secret}@"
        prefix = "" if self.prefix == DEFAULT_PREFIX else self.prefix
        options = {"ttl": None if self.ttl == DEFAULT_TTL else self.ttl}
        options.update({"ca": self.ca, "cert": self.cert, "key": self.key})  # type: ignore[dict-item]
        query = "&".join(f"{k}={quote(str(v), safe='/')}" for k, v in options.items() if v is not None)
        return f"etcd://{login}{','.join(self.endpoints)}{prefix}" + (f"?{query}" if query else "")

    def __str__(self) -> str:
        return self.text(password=False)

    def __repr__(self) -> str:
        return f"RegistryURL({self.text(password=False)!r})"


def _hidden(url: str) -> str:
    head, _, rest = url.partition("://")
    return f"{head}://***@{rest.rpartition('@')[2]}"


def _endpoint(url: str, text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(DEFAULT_PORT)
    if not host:
        raise InvalidURLError(url, f"missing host in {text!r}" if text else "missing host")
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidURLError(url, f"bad port {port!r}: a port is a number from 1 to 65535")
    return f"{host}:{port}"


def _prefix(url: str, path: str) -> str:
    prefix = path.rstrip("/")
    if "//" in prefix:
        raise InvalidURLError(url, f"bad prefix {path!r}: an empty segment")
    return prefix or DEFAULT_PREFIX


def _options(url: str, query: str) -> dict[str, Any]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise InvalidURLError(url, f"bad query {query!r}: {error}") from None
    options: dict[str, Any] = {}
    for name, value in pairs:
        if name not in _QUERY:
            raise InvalidURLError(url, f"unknown option {name!r} (known: {', '.join(_QUERY)})")
        if name in options:
            raise InvalidURLError(url, f"option {name!r} is given twice")
        if not value:
            raise InvalidURLError(url, f"option {name!r} is empty")
        options[name] = value
    return options


def _ttl(url: str, value: Any) -> int:
    try:
        ttl = int(value)
    except (TypeError, ValueError):
        ttl = 0
    if not 1 <= ttl <= 86_400:
        raise InvalidURLError(url, f"bad ttl {value!r}: whole seconds from 1 to 86400")
    return ttl
