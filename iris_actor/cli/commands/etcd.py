"""``iris-actor etcd``: a real etcd in the foreground, for development."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from iris_actor.cli.failures import ExitCode, failures


def etcd(
    port: Annotated[
        int,
        typer.Option("--port", "-p", min=0, max=65535, help="Port to serve clients on; 0 takes a free one."),
    ] = 2379,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            file_okay=False,
            metavar="FOLDER",
            help="Where to keep the data; a temporary folder that is removed in the end when not given.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """
    Run an etcd in the foreground, on 127.0.0.1; Ctrl-C stops it.

    For development: one member, no TLS. The binary is the one that `IRIS_ETCD_BINARY` names, the `etcd`
    on the path, or the one that comes with the installation.

    Examples:

    ```
    iris-actor etcd
    iris-actor etcd --port 0
    iris-actor etcd --port 2379 --data-dir ./etcd-data
    ```
    """
    from iris_actor.testing import EtcdProcess

    stop = threading.Event()
    with failures(interrupted=ExitCode.DONE):
        process = EtcdProcess(port=port, data_dir=data_dir)
        previous = {
            number: signal.signal(number, lambda _number, _frame: stop.set())
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            with process:
                print(f"etcd is running at {process.url} (Ctrl-C stops it)\n", flush=True)
                print(f"  export IRIS_REGISTRY={process.url}")
                print("  iris-actor ls", flush=True)
                while process.running and not stop.wait(0.2):
                    pass
                if not process.running and not stop.is_set():
                    raise ChildProcessError("etcd ended by itself")
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
