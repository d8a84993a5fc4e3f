"""``iris-actor serve``: host an object of any importable class."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from iris_actor.cli.connection import (
    CaOption,
    CertOption,
    Connection,
    KeyOption,
    NamespaceOption,
    RegistryOption,
    TokenFileOption,
    credentials_of,
)
from iris_actor.cli.failures import ExitCode, UsageError, failures
from iris_actor.cli.json_values import json_arguments, key_values


def serve(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:CLASS",
            help="Class of the actor, or a function that makes one; looked for from the current folder too.",
            show_default=False,
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="Actor name to serve it under.", show_default=False)],
    args: Annotated[
        list[str] | None,
        typer.Option(
            "--arg",
            metavar="JSON",
            help="Constructor argument, in order; may be repeated.",
            show_default=False,
        ),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            "--kwarg",
            "-k",
            metavar="KEY=VALUE",
            help="Its keyword argument; may be repeated.",
            show_default=False,
        ),
    ] = None,
    max_concurrency: Annotated[int, typer.Option("--max-concurrency", min=1, help="Calls at a time.")] = 1,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            "--metadata",
            "-m",
            metavar="KEY=VALUE",
            help="String to show with the endpoint; may be repeated.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to bind.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, help="Port to bind; 0 takes a free one.")
    ] = 0,
    advertise_host: Annotated[
        str | None,
        typer.Option(
            "--advertise-host",
            envvar="IRIS_ADVERTISE_HOST",
            help="Host that callers are told, where it differs from `--host`.",
            show_default=False,
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", help="Serve beyond loopback without credentials: who connects can run code."
        ),
    ] = False,
    drain_timeout: Annotated[
        float, typer.Option("--drain-timeout", min=0, help="Seconds that accepted calls get in the end.")
    ] = 30.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    registry: RegistryOption = None,
    namespace: NamespaceOption = None,
    token_file: TokenFileOption = None,
    tls_ca: CaOption = None,
    tls_cert: CertOption = None,
    tls_key: KeyOption = None,
) -> None:
    """
    Host an actor until Ctrl-C or SIGTERM, which finish the calls that were accepted; a second one does not.

    Examples:

    ```
    iris-actor serve my_package.calculator:Calculator --name calculator
    iris-actor serve models:Inference --name inference --arg /models/7b -k device=cuda:0
    iris-actor serve models:Inference --name inference --host 0.0.0.0 --token-file token.txt
    ```
    """
    with failures(interrupted=ExitCode.DONE):
        from iris_actor import ActorServer
        from iris_actor.naming import qualify

        values, named = json_arguments(args or (), None, pairs or (), "--kwarg")
        labels = key_values(metadata or (), "--metadata")
        credentials = credentials_of(token_file, tls_ca, tls_cert, tls_key)
        connection = Connection.of(registry, namespace, credentials)
        actor = _make(target, values, named)
        with ActorServer(
            connection.registry_url,
            namespace=connection.namespace,
            host=host,
            port=port,
            advertise_host=advertise_host,
            credentials=credentials,
            insecure=insecure,
            drain_timeout=drain_timeout,
        ) as server:
            server.register(name, actor, max_concurrency=max_concurrency, metadata=labels)
            server.serve_background()
            full = qualify(name, server.namespace)
            if not quiet:
                where = f"{server.address} (pid {os.getpid()}; Ctrl-C or SIGTERM drains)"
                print(f"serving /{full} at {where}", flush=True)
            server.serve()
            if not quiet:
                print(f"stopped serving /{full}", flush=True)


def _make(target: str, values: list[Any], named: dict[str, Any]) -> Any:
    """The object that ``module:attribute`` names, or makes when it can be called.

    Raises:
        UsageError: there is no such thing, or it cannot be made; what the user's code raised is on stderr.
    """
    module_name, colon, path = target.partition(":")
    if not colon or not module_name or not path:
        raise UsageError(f"expected MODULE:CLASS, as in my_package.calculator:Calculator, got {target!r}")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise UsageError(f"there is no module {error.name!r}, in {folder} or installed") from None
        raise _broken(f"cannot import {module_name}", error) from None
    except Exception as error:
        raise _broken(f"cannot import {module_name}", error) from None
    for part in path.split("."):
        if not hasattr(found, part):
            raise UsageError(f"module {module_name!r} has no {path!r}")
        found = getattr(found, part)
    if not callable(found):
        return found
    try:
        return found(*values, **named)
    except Exception as error:
        raise _broken(f"cannot make {path}", error) from None


def _broken(what: str, error: Exception) -> UsageError:
    """Show where the user's code raised, and say in a line what."""
    inside = error.__traceback__.tb_next if error.__traceback__ is not None else None
    if inside is not None:
        traceback.print_exception(type(error), error, inside)
    return UsageError(f"{what}: {type(error).__name__}: {error}")
