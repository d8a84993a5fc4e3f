"""ActorProcess: an actor in a process of its own, for examples that need several processes.

It is ``iris-actor serve`` as one would type it, ended when the example ends. Not an example itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


@contextmanager
def actor_process(target: str, name: str, *args: str, registry: str, namespace: str) -> Iterator[int]:
    """Serve ``module:Class`` under `name` while the context lasts; gives the process id.

    Args:
        target: what to serve, as ``iris-actor serve`` takes it.
        name: actor name.
        args: further options of ``iris-actor serve``.
        registry: where to announce it.
        namespace: namespace of the name.
    """
    # In the worker processes of a pool, and in ours, an actor's numeric libraries need one thread.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "iris_actor.cli", "serve", target, "--name", name, *args]
    process = subprocess.Popen(
        [*command, "--registry", registry, "--namespace", namespace],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
