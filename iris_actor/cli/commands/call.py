"""``iris-actor call``: one call with JSON arguments and a JSON result."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iris_actor.cli.completion import call_targets
from iris_actor.cli.connection import (
    REGISTRY_TIMEOUT,
    CaOption,
    CertOption,
    Connection,
    KeyOption,
    NamespaceOption,
    RegistryOption,
    TokenFileOption,
    credentials_of,
)
from iris_actor.cli.failures import UsageError, failures
from iris_actor.cli.json_values import json_arguments
from iris_actor.cli.output import print_json

if TYPE_CHECKING:
    from iris_actor import Endpoint
    from iris_actor.deadline import Deadline


def call(
    target: Annotated[
        str,
        typer.Argument(
            metavar="NAME.METHOD",
            help="Actor name and method.",
            show_default=False,
            autocompletion=call_targets,
        ),
    ],
    args: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ARGS]...",
            help="Positional arguments: JSON values; a word that is no JSON is a string.",
            show_default=False,
        ),
    ] = None,
    kwargs: Annotated[
        str | None,
        typer.Option(
            "--kwargs", metavar="JSON", help="Keyword arguments as a JSON object.", show_default=False
        ),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            "--kwarg",
            "-k",
            metavar="KEY=VALUE",
            help="One keyword argument; may be repeated.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", "-t", min=0, help="Seconds for the call; no limit by default.", show_default=False
        ),
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for the name to appear.")
    ] = 0.0,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint", metavar="ADDRESS|ID", help="Call this endpoint of several.", show_default=False
        ),
    ] = None,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="Call a generator; prints one JSON value a line as they come."
            " Unpickles what the server sends: for servers that you trust.",
        ),
    ] = False,
    show_traceback: Annotated[
        bool, typer.Option("--traceback", help="Show the remote traceback of what the method raises.")
    ] = False,
    registry: RegistryOption = None,
    namespace: NamespaceOption = None,
    token_file: TokenFileOption = None,
    tls_ca: CaOption = None,
    tls_cert: CertOption = None,
    tls_key: KeyOption = None,
) -> None:
    """
    Call a method; prints its result as JSON.

    Each argument is a JSON value: `3`, `true`, `null`, `[1, 2]`, `'{"a": 1}'`. A word that is no JSON is
    a string: `hello` is `"hello"`. A string that looks like another value needs its quotes: `'"3"'`.

    With several endpoints the first that can be reached is called. Exit codes: 0 done, 1 the method
    raised (its type and message are on stderr), 2 bad usage, 3 not found or not available, 4 the timeout
    passed, 130 Ctrl-C.

    Examples:

    ```
    iris-actor call calculator.add 1 -2
    iris-actor call /demo/inference.predict '[1.0, 2.0]' -k scale=3 --timeout 5
    iris-actor call inference.tokens "hello world" --stream
    ```
    """
    with failures(show_traceback=show_traceback):
        from iris_actor.deadline import Deadline

        name, method = _split(target)
        values, named = json_arguments(args or (), kwargs, pairs or (), "--kwarg")
        connection = Connection.of(registry, namespace, credentials_of(token_file, tls_ca, tls_cert, tls_key))
        deadline = Deadline.of(timeout)
        with connection.resolver() as resolver:
            endpoints = _chosen(connection.find(resolver, name, wait=wait).endpoints, endpoint)
            if stream:
                _print_stream(connection, endpoints, method, values, named, deadline)
                return
        print_json(_call_first(connection, endpoints, method, values, named, deadline))


def _split(target: str) -> tuple[str, str]:
    name, dot, method = target.rpartition(".")
    if not dot or not name or not method:
        raise UsageError(f"expected NAME.METHOD, as in calculator.add, got {target!r}")
    return name, method


def _chosen(endpoints: tuple[Endpoint, ...], wanted: str | None) -> tuple[Endpoint, ...]:
    from iris_actor.errors import ActorNotFoundError

    if wanted is None:
        return endpoints
    found = tuple(e for e in endpoints if wanted in {e.address, e.actor_id})
    if not found:
        known = ", ".join(f"{e.address} ({e.actor_id})" for e in endpoints)
        raise ActorNotFoundError(f"/{endpoints[0].name} has no endpoint {wanted!r}; it has {known}")
    return found


def _call_first(
    connection: Connection,
    endpoints: tuple[Endpoint, ...],
    method: str,
    values: list[Any],
    named: dict[str, Any],
    deadline: Deadline,
) -> str:
    """The result of the first endpoint that takes the call."""
    from iris_actor.errors import ActorNotFoundError, RemoteError, ServerUnavailableError
    from iris_actor.rpc.json_call import call_json

    args_json, kwargs_json = json.dumps(values), json.dumps(named)
    for number, endpoint in enumerate(endpoints, start=1):
        try:
            return call_json(
                endpoint.address,
                endpoint.name,
                method,
                args_json,
                kwargs_json,
                timeout=deadline.timeout,
                credentials=connection.credentials,
            )
        except (ServerUnavailableError, ActorNotFoundError):  # it certainly did not run there
            if number == len(endpoints):
                raise
        except RemoteError as error:
            if error.type_name == "TypeError" and _is_generator(connection, endpoint, method):
                raise UsageError(f"{method} is a generator: add --stream") from None
            raise
    raise AssertionError("a name that was found has endpoints")


def _is_generator(connection: Connection, endpoint: Endpoint, method: str) -> bool:
    from iris_actor.errors import CallError
    from iris_actor.rpc.json_call import describe

    try:
        answer = describe(
            endpoint.address, endpoint.name, timeout=REGISTRY_TIMEOUT, credentials=connection.credentials
        )
    except CallError:
        return False
    kinds = [found.kind for actor in answer.actors for found in actor.methods if found.name == method]
    return any(kind.endswith("generator") for kind in kinds)


def _print_stream(
    connection: Connection,
    endpoints: tuple[Endpoint, ...],
    method: str,
    values: list[Any],
    named: dict[str, Any],
    deadline: Deadline,
) -> None:
    from iris_actor import FixedResolver
    from iris_actor.codec import dump_json

    name = f"/{endpoints[0].name}"
    addresses = {name: [endpoint.address for endpoint in endpoints]}
    pool = FixedResolver(addresses, credentials=connection.credentials).lookup(name, _framework=True)
    with getattr(pool.stream(timeout=deadline.timeout), method)(*values, **named) as items:
        for item in items:
            print(dump_json(item).decode(), flush=True)
