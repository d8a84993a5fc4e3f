"""Connection: the options that say which registry to ask and how to show oneself, and what they lead to."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from iris_actor.cli.failures import UsageError

if TYPE_CHECKING:
    from iris_actor import Credentials, Registry, RegistryResolver, ResolveResult

REGISTRY_TIMEOUT = 5.0
"""Seconds that the registry has for an answer."""
TOKEN = "IRIS_TOKEN"  # noqa: S105 - the name of a variable
_PANEL = "Connection"


def _file(flag: str, variable: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        flag,
        envvar=variable,
        help=text,
        metavar="FILE",
        exists=True,
        dir_okay=False,
        rich_help_panel=_PANEL,
        show_default=False,
    )
    return option


RegistryOption = Annotated[
    str | None,
    typer.Option(
        "--registry",
        "-r",
        envvar="IRIS_REGISTRY",
        metavar="URL",
        help="Registry, as `etcd://host:2379[,host2:2379][/prefix]`.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
NamespaceOption = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NAME",
        help="Namespace of names without a leading `/`; the job's inside a job, else `default`.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
TokenFileOption = Annotated[
    Path | None,
    _file(
        "--token-file",
        "IRIS_TOKEN_FILE",
        f"File with the shared token; the variable `{TOKEN}` may hold it too.",
    ),
]
CaOption = Annotated[
    Path | None, _file("--tls-ca", "IRIS_TLS_CA", "PEM file of the authority that signed the other side.")
]
CertOption = Annotated[
    Path | None, _file("--tls-cert", "IRIS_TLS_CERT", "PEM file of this side's certificate.")
]
KeyOption = Annotated[Path | None, _file("--tls-key", "IRIS_TLS_KEY", "PEM file of its private key.")]


def credentials_of(
    token_file: Path | None, ca: Path | None, cert: Path | None, key: Path | None
) -> Credentials | None:
    """The credentials that the options and the environment name; None when they name none.

    Raises:
        UsageError: for a combination that makes no sense.
        OSError: the file cannot be read.
    """
    from iris_actor import Credentials

    token = token_file.read_text().strip() if token_file else os.environ.get(TOKEN) or None
    if token_file and not token:
        raise UsageError(f"the token file {token_file} is empty")
    if token is None and ca is None and cert is None and key is None:
        return None
    try:
        return Credentials(token=token, ca=ca, cert=cert, key=key)
    except ValueError as error:
        raise UsageError(str(error)) from None


@dataclass(frozen=True, slots=True)
class Connection:
    """Which registry to ask, for which namespace, and what to show to servers.

    Attributes:
        registry_url: URL of the registry.
        namespace: where names without a leading ``/`` live.
        credentials: what servers ask for.
    """

    registry_url: str
    namespace: str
    credentials: Credentials | None = None

    @classmethod
    def of(cls, registry: str | None, namespace: str | None, credentials: Credentials | None = None) -> Self:
        """The connection that the options name.

        Raises:
            UsageError: when they name no registry.
            InvalidNameError: for a bad namespace.
        """
        from iris_actor.actor.environment import Environment

        if not registry:
            raise UsageError(
                "no registry: pass --registry etcd://host:2379 or set IRIS_REGISTRY"
                " (`iris-actor etcd` runs one)"
            )
        return cls(registry, Environment.read().namespace(namespace), credentials)

    def registry(self) -> Registry:
        """The registry; close it after use."""
        from iris_actor import connect_registry

        _leave_errors_to_the_command()
        return connect_registry(self.registry_url)

    def resolver(self) -> RegistryResolver:
        """A resolver of names; close it after use."""
        from iris_actor import RegistryResolver

        _leave_errors_to_the_command()
        return RegistryResolver(self.registry_url, namespace=self.namespace, credentials=self.credentials)

    def find(self, resolver: RegistryResolver, name: str, *, wait: float = 0.0) -> ResolveResult:
        """The endpoints of `name`, at least one.

        Args:
            resolver: as from `resolver`.
            name: actor name.
            wait: seconds to wait for it to appear.

        Raises:
            ActorNotFoundError: nobody serves the name; says what names there are.
            RegistryUnavailableError: the registry does not answer.
            InvalidNameError: for a bad name.
        """
        from iris_actor.deadline import Deadline
        from iris_actor.errors import ActorNotFoundError, RegistryError

        resolver.resolve_timeout = max(wait, REGISTRY_TIMEOUT)
        found = resolver.resolve(name)
        if found.is_empty and resolver.wait_for(name, 1, Deadline.after(wait)):
            found = resolver.resolve(name)
        if found.is_empty:
            try:
                text = resolver.explain(name, timeout=REGISTRY_TIMEOUT)
            except RegistryError:  # that user may not read the rest
                text = f"no endpoint serves {found.name!r}"
            raise ActorNotFoundError(text)
        return found


def _leave_errors_to_the_command() -> None:
    """Keep warnings off stderr, unless somebody configured logging: the command prints one error itself."""
    log = logging.getLogger("iris_actor")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
