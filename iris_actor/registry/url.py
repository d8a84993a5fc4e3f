"""RegistryURL: what a registry URL says, taken apart and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from iris_actor.errors import InvalidURLError
from iris_actor.etcd.url import SCHEME as ETCD
from iris_actor.etcd.url import SEGMENT, EtcdURL, etcd_fields, format_etcd, split_scheme, without_password

MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class RegistryURL(EtcdURL):
    """The URL of an etcd (`EtcdURL`), or ``memory://[name]``.

    Checked when built. ``str()`` and ``repr()`` hide the password, `text` does not.

    Attributes:
        scheme: ``etcd`` or ``memory``.
        name: of a memory registry. The attributes of an `EtcdURL` mean nothing for one.

    Raises:
        InvalidURLError: (a ValueError) with the reason.
    """

    scheme: str
    name: str = ""

    @classmethod
    def parse(cls, url: str) -> Self:
        """The parts of `url`.

        Raises:
            InvalidURLError: (a ValueError) with the reason; it shows the URL without its password.
        """
        scheme, rest = split_scheme(url)
        shown = without_password(url)
        if scheme == ETCD:
            return cls(ETCD, **etcd_fields(shown, rest))
        if scheme != MEMORY:
            raise InvalidURLError(shown, f"unknown scheme {scheme!r}")
        name, question, _ = rest.partition("?")
        if question:
            raise InvalidURLError(shown, "a memory registry takes no options")
        if name and not SEGMENT.match(name):
            raise InvalidURLError(shown, f"{name!r} is no name: letters, digits, '_', '-' and '.'")
        return cls(MEMORY, name)

    @property
    def text(self) -> str:
        """The URL in its one canonical form, password included: equal URLs have equal texts."""
        return str(self) if self.scheme == MEMORY else format_etcd(self, self.password)

    def __str__(self) -> str:
        return f"{MEMORY}://{self.name}" if self.scheme == MEMORY else format_etcd(self)
