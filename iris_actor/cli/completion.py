"""Completion: what a shell may put in place of the beginning of an actor's name, or of a method's.

The shell waits for it while somebody types, so the registry and the actor have a second (or as many as the
variable `IRIS_COMPLETION_TIMEOUT` says, where they are far away), and whatever goes wrong nothing is said.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any

import typer

from iris_actor.cli.connection import Connection, credentials_of

if TYPE_CHECKING:
    from iris_actor import Endpoint
    from iris_actor.deadline import Deadline

PATIENCE = "1.0"
"""Seconds that all that is asked has for its answers, unless `PATIENCE_VARIABLE` says otherwise."""
PATIENCE_VARIABLE = "IRIS_COMPLETION_TIMEOUT"
_CREDENTIALS = ("token_file", "tls_ca", "tls_cert", "tls_key")

Completer = Callable[[typer.Context, str], Iterable[str]]


def _quietly(complete: Completer) -> Callable[[typer.Context, str], list[str]]:
    @wraps(complete)
    def completed(ctx: typer.Context, incomplete: str) -> list[str]:
        logging.disable()
        try:
            return list(complete(ctx, incomplete))
        except Exception:  # nobody can be told
            return []

    return completed


@_quietly
def actor_names(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Names of actors that begin with `incomplete`."""
    return sorted(_found(_connection(ctx), incomplete, _deadline()))


@_quietly
def call_targets(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """What ``iris-actor call`` may be given that begins with `incomplete`.

    Names, each with its dot, as long as several come into question; then the methods of the one.
    """
    connection, deadline = _connection(ctx), _deadline()
    name, dot, _ = incomplete.rpartition(".")
    found = _found(connection, name if dot else incomplete, deadline)
    if dot:
        found = {shown: endpoint for shown, endpoint in found.items() if shown == name}
    if len(found) > 1:
        return sorted(f"{shown}." for shown in found)
    return [
        f"{shown}.{method}"
        for shown, endpoint in found.items()
        for method in _methods(connection, endpoint, deadline)
        if f"{shown}.{method}".startswith(incomplete)
    ]


def _deadline() -> Deadline:
    from iris_actor.deadline import Deadline

    return Deadline.after(float(os.environ.get(PATIENCE_VARIABLE, PATIENCE)))


def _connection(ctx: typer.Context) -> Connection:
    options = ctx.params
    credentials = credentials_of(*(options.get(option) for option in _CREDENTIALS))
    return Connection.of(options.get("registry"), options.get("namespace"), credentials)


def _found(connection: Connection, beginning: str, deadline: Deadline) -> dict[str, Endpoint]:
    """An endpoint for each name that begins so, by the name as the user writes it."""
    own = "" if beginning.startswith("/") else f"/{connection.namespace}/"
    with connection.registry() as registry:
        endpoints = registry.list(f"{own}{beginning}"[1:], timeout=deadline.remaining)
    return {
        f"/{endpoint.name}".removeprefix(own): endpoint
        for endpoint in endpoints
        if not endpoint.actor_name.startswith("_") or "/_" in beginning or beginning.startswith("_")
    }


def _methods(connection: Connection, endpoint: Endpoint, deadline: Deadline) -> Iterator[Any]:
    from iris_actor.rpc.json_call import describe

    answer = describe(
        endpoint.address, endpoint.name, timeout=deadline.remaining, credentials=connection.credentials
    )
    for actor in answer.actors:
        yield from (method.name for method in actor.methods)
