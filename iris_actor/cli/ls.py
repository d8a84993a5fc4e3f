"""``iris-actor ls``: who is where."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iris_actor.cli.connection import REGISTRY_TIMEOUT, Connection, NamespaceOption, RegistryOption
from iris_actor.cli.failures import failures
from iris_actor.cli.output import age, endpoint_fields, print_document, stdout

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from iris_actor import Endpoint


def ls(
    prefix: Annotated[
        str,
        typer.Argument(
            help="Beginning of the names to show: in the namespace, or absolute with a leading `/`."
            " Without it and without `--namespace`: everything.",
            show_default=False,
        ),
    ] = "",
    show_all: Annotated[
        bool, typer.Option("--all", "-a", help="Also the framework's own (`_workerpool/...`).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a tree.")] = False,
    registry: RegistryOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """
    Show namespaces, actors and their endpoints.

    Examples:

    ```
    iris-actor ls
    iris-actor ls rl/ --namespace demo
    iris-actor ls /demo/ --json | jq -r '.[].endpoints[].address'
    ```
    """
    with failures():
        connection = Connection.of(registry, namespace)
        start = prefix[1:] if prefix.startswith("/") else f"{connection.namespace}/{prefix}"
        if not prefix and namespace is None:
            start = ""
        with connection.registry() as store:
            endpoints = store.list(start, timeout=REGISTRY_TIMEOUT)
        named = _by_name(endpoints, show_all=show_all)
        if as_json:
            print_document([_fields(name, members) for name, members in named.items()])
        elif not named:
            stdout().print(f"no actors{f' below /{start}' if start else ''}")
        else:
            console = stdout()
            for tree in _trees(named):
                console.print(tree)


def _by_name(endpoints: Iterable[Endpoint], *, show_all: bool) -> dict[str, list[Endpoint]]:
    named: dict[str, list[Endpoint]] = {}
    for endpoint in sorted(endpoints, key=lambda e: (e.name, e.started_at, e.actor_id)):
        if show_all or not any(segment.startswith("_") for segment in endpoint.name.split("/")):
            named.setdefault(endpoint.name, []).append(endpoint)
    return named


def _fields(name: str, endpoints: list[Endpoint]) -> dict[str, Any]:
    return {
        "name": f"/{name}",
        "namespace": endpoints[0].namespace,
        "actor": endpoints[0].actor_name,
        "endpoints": [endpoint_fields(endpoint) for endpoint in endpoints],
    }


def _trees(named: dict[str, list[Endpoint]]) -> list[Tree]:
    from rich.text import Text
    from rich.tree import Tree

    trees: dict[str, Tree] = {}
    for endpoints in named.values():
        namespace = endpoints[0].namespace
        if namespace not in trees:
            trees[namespace] = Tree(Text(f"/{namespace}", style="bold"))
        branch = trees[namespace].add(Text(endpoints[0].actor_name, style="cyan"))
        for endpoint in endpoints:
            branch.add(_line(endpoint))
    return list(trees.values())


def _line(endpoint: Endpoint) -> Text:
    from rich.text import Text

    line = Text.assemble(
        (endpoint.address, "green"),
        f"  {endpoint.host or '?'} pid {endpoint.pid}",
        (f"  up {age(endpoint.started_at)}", "dim"),
    )
    for key, text in sorted(endpoint.metadata.items()):
        line.append(f"  {key}={text}", style="magenta")
    line.append(f"  {endpoint.actor_id}", style="dim")
    return line
