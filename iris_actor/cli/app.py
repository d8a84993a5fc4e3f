"""App: the commands of ``iris-actor`` put together."""

from __future__ import annotations

from typing import Annotated

import typer

from iris_actor.cli.command import Command, Group
from iris_actor.cli.commands.call import call
from iris_actor.cli.commands.describe import describe
from iris_actor.cli.commands.etcd import etcd
from iris_actor.cli.commands.ls import ls
from iris_actor.cli.commands.pool import pool
from iris_actor.cli.commands.serve import serve
from iris_actor.version import __version__

app = typer.Typer(
    name="iris-actor",
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for function in (etcd, ls, describe, call, serve, pool):
    app.command(cls=Command)(function)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"iris-actor {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done, 1 the method raised, 2 bad usage, 3 not found or not available,"
    " 4 the timeout passed, 130 Ctrl-C."
)
def root(
    _version_wanted: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """
    Find, inspect, call and serve actors by name; watch pools of workers.

    Actors are announced in a registry: name it with `--registry` or `IRIS_REGISTRY`. A name such as
    `calculator` is looked up in the namespace (`--namespace`; the job's inside a job, else `default`);
    `/demo/calculator` says its namespace itself.

    Try it in two terminals:

    ```
    iris-actor etcd --port 2379
    export IRIS_REGISTRY=etcd://127.0.0.1:2379
    iris-actor serve collections:Counter --name counter &
    iris-actor call counter.update '{"apples": 3}'
    iris-actor call counter.most_common
    ```
    """
