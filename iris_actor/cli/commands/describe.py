"""``iris-actor describe``: what an actor can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from iris_actor.cli.completion import actor_names
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
from iris_actor.cli.failures import failures
from iris_actor.cli.output import age, endpoint_fields, print_document, stdout

if TYPE_CHECKING:
    from iris_actor import Endpoint


def describe(
    name: Annotated[str, typer.Argument(help="Actor name.", show_default=False, autocompletion=actor_names)],
    each: Annotated[
        bool, typer.Option("--all", "-a", help="Ask each endpoint, not only the first that answers.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for the name to appear.")
    ] = 0.0,
    registry: RegistryOption = None,
    namespace: NamespaceOption = None,
    token_file: TokenFileOption = None,
    tls_ca: CaOption = None,
    tls_cert: CertOption = None,
    tls_key: KeyOption = None,
) -> None:
    """
    Show an actor's methods: signatures, docstrings, and how each runs.

    Examples:

    ```
    iris-actor describe calculator
    iris-actor describe /demo/inference --all --json
    ```
    """
    with failures():
        connection = Connection.of(registry, namespace, credentials_of(token_file, tls_ca, tls_cert, tls_key))
        with connection.resolver() as resolver:
            found = connection.find(resolver, name, wait=wait)
        descriptions = _ask(connection, found.endpoints, each=each)
        if as_json:
            print_document(descriptions)
        else:
            for description in descriptions:
                _show(description)


def _ask(connection: Connection, endpoints: tuple[Endpoint, ...], *, each: bool) -> list[dict[str, Any]]:
    from iris_actor.errors import ActorNotFoundError, CallError
    from iris_actor.rpc.json_call import describe as ask

    answers: list[dict[str, Any]] = []
    failure: CallError | None = None
    for endpoint in endpoints:
        try:
            response = ask(
                endpoint.address,
                endpoint.name,
                timeout=REGISTRY_TIMEOUT,
                credentials=connection.credentials,
            )
        except CallError as error:
            failure = error
            continue
        answers += [_fields(endpoint, actor) for actor in response.actors]
        if answers and not each:
            break
    if not answers:
        name = endpoints[0].name
        raise failure or ActorNotFoundError.of(
            f"/{name}", f"not on the server at {endpoints[0].address} any more"
        )
    return answers


def _fields(endpoint: Endpoint, actor: Any) -> dict[str, Any]:
    return {
        "name": f"/{actor.name}",
        "type": actor.type,
        "doc": actor.doc,
        "endpoint": endpoint_fields(endpoint),
        "methods": [
            {
                "name": method.name,
                "signature": method.signature,
                "kind": method.kind,
                "group": method.group,
                "doc": method.doc,
            }
            for method in actor.methods
        ],
    }


_KEYWORDS = {"async": "async ", "async generator": "async "}


def _show(description: dict[str, Any]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console = stdout()
    endpoint = description["endpoint"]
    where = (
        f"  {endpoint['address']}  {endpoint['host']} pid {endpoint['pid']}  up {age(endpoint['started_at'])}"
    )
    console.print(
        Text.assemble((description["name"], "bold cyan"), f"  {description['type']}", (where, "dim"))
    )
    if description["doc"]:
        console.print(Padding(Text(description["doc"]), (0, 0, 0, 2)))
    for method in description["methods"]:
        line = Text.assemble(
            (_KEYWORDS.get(method["kind"], ""), "magenta"),
            (method["name"], "bold green"),
            method["signature"],
        )
        if method["kind"].endswith("generator"):
            line.append("  stream", style="magenta")
        if method["group"] != "default":
            line.append(f"  group {method['group']}", style="yellow")
        console.print()
        console.print(Padding(line, (0, 0, 0, 2)))
        if method["doc"]:
            console.print(Padding(Text(method["doc"], style="dim"), (0, 0, 0, 6)))
