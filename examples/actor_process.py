"""ActorProcess: an actor in a process of its own, for examples that need several. Not an example itself.

It is ``iris-actor serve`` as one would type it, started by the client's launcher: it ends with the client,
also when this program is killed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from iris_actor import IrisClient
from iris_actor.work.launch.launcher import LaunchSpec

REPOSITORY = Path(__file__).resolve().parents[1]


def start_actor(client: IrisClient, target: str, name: str, *options: str) -> None:
    """Serve ``module:Class`` under `name`, in the client's namespace, as long as the client lives.

    Args:
        client: says where to announce it, and ends it.
        target: what to serve, as ``iris-actor serve`` takes it.
        name: actor name.
        options: further options of ``iris-actor serve``.
    """
    serve = (sys.executable, "-m", "iris_actor.cli", "serve", target, "--name", name, *options, "--quiet")
    where = ("--registry", client.registry_url, "--namespace", client.namespace)
    client.launcher.launch(LaunchSpec(name=name, command=(*serve, *where), cwd=str(REPOSITORY)))
