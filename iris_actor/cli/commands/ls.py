"""``iris-actor ls``: who is where."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iris_actor.cli.completion import actor_names
from iris_actor.cli.connection import REGISTRY_TIMEOUT, Connection, NamespaceOption, RegistryOption
from iris_actor.cli.failures import failures
from iris_actor.cli.output import age, endpoint_fields, in_terminal, print_document, stdout

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from iris_actor import Endpoint, Registry

MOST_NAMESPACES = 20
"""Namespaces that are named where one has no actors."""
_WIDE = 100_000
_GAP = "  "
_INDENT = 8
"""Columns that the tree takes before an endpoint."""


def ls(
    prefix: Annotated[
        str,
        typer.Argument(
            help="Beginning of the names to show: in the namespace, or absolute with a leading `/`."
            " Without it and without `--namespace`: everything.",
            show_default=False,
            autocompletion=actor_names,
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
            named = _by_name(store.list(start, timeout=REGISTRY_TIMEOUT), show_all=show_all)
            instead = "" if named or as_json else _instead(start, store)
        if as_json:
            print_document([_fields(name, members) for name, members in named.items()])
        elif not named:
            stdout().print(f"no actors{f' below /{start}' if start else ''}{instead}", markup=False)
        else:
            width = stdout().width if in_terminal() else None
            console = stdout(width=_WIDE)  # a tree crops what does not fit
            for tree in _trees(named, width):
                console.print(tree)


def _instead(start: str, store: Registry) -> str:
    """What there is instead of names that begin with `start`; empty when that cannot be told."""
    from iris_actor.actor.absence import absence_text
    from iris_actor.errors import RegistryError

    namespace, slash, actor = start.partition("/")
    if not slash:
        return ""
    try:
        served = store.names(timeout=REGISTRY_TIMEOUT)
    except RegistryError:  # that user may not read the rest
        return ""
    if actor:
        return ": " + absence_text(start.rstrip("/"), served)
    others = sorted({name.split("/", 1)[0] for name in served} - {namespace})
    return f"; there are actors in {', '.join(others[:MOST_NAMESPACES])}" if others else ""


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


def _trees(named: dict[str, list[Endpoint]], width: int | None) -> list[Tree]:
    """A tree a namespace; lines are broken at `width` columns, between what belongs together."""
    from rich.text import Text
    from rich.tree import Tree

    trees: dict[str, Tree] = {}
    for endpoints in named.values():
        namespace = endpoints[0].namespace
        if namespace not in trees:
            trees[namespace] = Tree(Text(f"/{namespace}", style="bold"))
        branch = trees[namespace].add(Text(endpoints[0].actor_name, style="cyan"))
        for endpoint in endpoints:
            branch.add(_lines(endpoint, width))
    return list(trees.values())


def _lines(endpoint: Endpoint, width: int | None) -> Text:
    from rich.text import Text

    parts = [
        (endpoint.address, "green"),
        (f"{endpoint.host or '?'} pid {endpoint.pid}", ""),
        (f"up {age(endpoint.started_at)}", "dim"),
        *((f"{key}={text}", "magenta") for key, text in sorted(endpoint.metadata.items())),
        (endpoint.actor_id, "dim"),
    ]
    lines, used = Text(), 0
    for text, style in parts:
        if used and width is not None and used + len(_GAP) + len(text) > width - _INDENT:
            lines.append("\n")
            used = 0
        elif used:
            lines.append(_GAP)
            used += len(_GAP)
        lines.append(text, style=style)
        used += len(text)
    return lines
