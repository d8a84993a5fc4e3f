"""``iris-actor pool``: what the workers of a `WorkerPool` do, while they do it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

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
from iris_actor.cli.failures import ExitCode, failures
from iris_actor.cli.output import age, in_terminal, print_document, print_json, stdout
from iris_actor.cli.pools.pool_finder import LocalPools, PoolSource, RegistryPools, ask, end_of, find

if TYPE_CHECKING:
    from rich.console import Console

    from iris_actor.errors import CallError
    from iris_actor.work.pool.monitor.pool_directory import PoolEntry

_PIPE_WIDTH = 200
"""Columns of a snapshot where nothing says how many there are."""


def pool(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME[@PID]",
            help="The pool, and its driver's pid where several go by that name. Without it: which there are.",
            show_default=False,
        ),
    ] = None,
    interval: Annotated[
        float, typer.Option("--interval", "-i", min=0.1, help="Seconds between two looks.")
    ] = 1.0,
    once: Annotated[
        bool, typer.Option("--once", help="Look once, print it and exit; so too in a pipe.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON: an object for each look, on one line outside a terminal.")
    ] = False,
    registry: RegistryOption = None,
    namespace: NamespaceOption = None,
    token_file: TokenFileOption = None,
    tls_ca: CaOption = None,
    tls_cert: CertOption = None,
    tls_key: KeyOption = None,
) -> None:
    """
    Watch a WorkerPool: its workers, what each runs and for how long, rates, failures.

    It shows until the pool ends, or Ctrl-C; the pool takes no notice. Your own pools on this machine are
    found by themselves. With `--registry` or `--namespace`, and for names that are not found here, the
    registry is asked: for pools on other machines whose `IrisClient` has credentials, which are then
    needed here too.

    A pool's name is the `name` of its configuration, or made up (`pool-1f0c93a2`).

    Examples:

    ```
    iris-actor pool
    iris-actor pool sweep
    iris-actor pool sweep --once
    iris-actor pool sweep --json | jq .tasks.done
    iris-actor pool sweep --registry etcd://cluster:2379 --token-file token.txt
    ```
    """
    with failures(interrupted=ExitCode.DONE):
        chosen = any(_is_given(ctx, option) for option in ("registry", "namespace"))
        sources: list[PoolSource] = [] if chosen else [LocalPools()]
        if chosen or (registry and name is not None):
            credentials = credentials_of(token_file, tls_ca, tls_cert, tls_key)
            connection = Connection.of(registry, namespace, credentials)
            sources.append(RegistryPools(connection, namespace))
        if name is None:
            _list(sources[0], as_json=as_json)
            return
        entry, source = find(name, sources)
        if as_json:
            _print_json(entry, source, interval, once=once)
        elif once or not in_terminal() or stdout().is_dumb_terminal:
            _print_once(entry)
        else:
            _show(entry, source, interval)


def _is_given(ctx: typer.Context, option: str) -> bool:
    """Whether `option` is on the command line, and not only in the environment."""
    source = ctx.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


# --- all pools ----------------------------------------------------------------------------------------


def _list(source: PoolSource, *, as_json: bool) -> None:
    listed = [_listed(entry) for entry in source.entries()]
    if as_json:
        print_document(listed)
    elif not listed:
        stdout().print(f"no pools {source.place}")
    else:
        _print_list(listed)


def _listed(entry: PoolEntry) -> dict[str, Any]:
    from iris_actor.errors import CallError

    fields: dict[str, Any] = {
        "name": entry.pool,
        "host": entry.host,
        "pid": entry.pid,
        "started_at": entry.started_at,
        "actor": f"/{entry.actor}",
        "address": entry.address,
        "workers": None,
        "bounds": None,
        "tasks": None,
        "error": None,
    }
    try:
        answer = ask(entry)
    except CallError as error:
        return {**fields, "error": str(error)}
    return {**fields, **{key: answer[key] for key in ("workers", "bounds", "tasks")}}


def _print_list(listed: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in ("pool", "driver", "up", "workers", "tasks"):
        table.add_column(column, overflow="fold")
    for fields in listed:
        if fields["error"] is None:
            workers = _counts(fields["workers"])
            tasks = _counts(fields["tasks"])
        else:
            workers, tasks = "?", fields["error"]
        table.add_row(
            Text(fields["name"], style="cyan"),
            f"{fields['host']} pid {fields['pid']}",
            age(fields["started_at"]),
            workers,
            Text(tasks, style="" if fields["error"] is None else "yellow"),
        )
    _console().print(table)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in counts.items() if number) or "none"


# --- one pool -----------------------------------------------------------------------------------------


class _Watch:
    """Looks at one pool again and again until it has ended.

    Attributes:
        end: how it ended; empty before.
    """

    def __init__(self, entry: PoolEntry, source: PoolSource, interval: float) -> None:
        self.end = ""
        self._entry = entry
        self._source = source
        self._interval = interval

    def looks(self) -> Iterator[dict[str, Any] | CallError]:
        """What the driver tells after each interval, or why it tells nothing."""
        from iris_actor.errors import CallError

        while True:
            time.sleep(self._interval)
            try:
                yield ask(self._entry)
            except CallError as error:
                self.end = end_of(self._entry, self._source)
                if self.end:
                    return
                yield error


def _print_json(entry: PoolEntry, source: PoolSource, interval: float, *, once: bool) -> None:
    from iris_actor.errors import CallError

    first = ask(entry)
    if once:
        print_document(first)
        return
    print_json(json.dumps(first))
    for look in _Watch(entry, source, interval).looks():
        if not isinstance(look, CallError):
            print_json(json.dumps(look))


def _print_once(entry: PoolEntry) -> None:
    from iris_actor.cli.pools.pool_view import PoolView
    from iris_actor.work.pool.monitor.pool_monitor import PoolSnapshot

    console = _console()
    console.print(PoolView(PoolSnapshot.of(ask(entry))).frame(console.width))


def _show(entry: PoolEntry, source: PoolSource, interval: float) -> None:
    from rich.live import Live

    from iris_actor.cli.pools.pool_view import PoolView
    from iris_actor.errors import CallError
    from iris_actor.work.pool.monitor.pool_monitor import PoolSnapshot

    console = _console()
    view = PoolView(PoolSnapshot.of(ask(entry)))
    watch = _Watch(entry, source, interval)

    # A function, because CPython 3.13.0 leaves a loop's jump back out of a `try` that it stands in.
    def follow(live: Live) -> None:
        for look in watch.looks():
            if isinstance(look, CallError):
                view.trouble = f"no answer: {look}"
            else:
                view.add(PoolSnapshot.of(look))
            live.update(view.frame(*console.size), refresh=True)

    try:
        # On a screen of its own nothing is torn when the window changes its size.
        with _sigterm_as_ctrl_c(), Live(console=console, screen=True, auto_refresh=False) as live:
            live.update(view.frame(*console.size), refresh=True)
            follow(live)
    finally:
        console.print(view.frame(console.width))
    console.print(f"\n{watch.end}")


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Give the terminal its own screen back before SIGTERM ends this process."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _console() -> Console:
    """Where tables go: they are cut to the terminal's width, and have room where there is none."""
    from rich.console import Console

    known = in_terminal() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if known else _PIPE_WIDTH)
