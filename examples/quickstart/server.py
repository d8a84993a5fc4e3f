"""Serve an actor by name.

Run an etcd, then this, then the client::

    iris-actor etcd --port 2379
    python examples/quickstart/server.py
    python examples/quickstart/client.py

Another registry: set ``IRIS_REGISTRY``, or pass its URL. SIGTERM and Ctrl-C finish the calls that were
accepted before the process ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from iris_actor import ActorServer


class Calculator:
    """Adds, and counts how often it was asked."""

    def __init__(self) -> None:
        self._calls = 0

    def add(self, a: float, b: float) -> float:
        """The sum of `a` and `b`."""
        self._calls += 1
        return a + b

    def divide(self, a: float, b: float) -> float:
        """The quotient of `a` and `b`."""
        self._calls += 1
        return a / b

    def countdown(self, start: int) -> Iterator[int]:
        """A stream: `start` and the numbers below it, down to 1."""
        yield from range(start, 0, -1)

    def calls(self) -> int:
        """How often somebody added or divided."""
        return self._calls


def main() -> None:
    """Serve until a signal ends it."""
    registry = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("IRIS_REGISTRY", "etcd://127.0.0.1:2379")
    with ActorServer(registry, namespace="demo") as server:
        server.register("calculator", Calculator())
        server.serve_background()
        print(f"serving /demo/calculator at {server.address}", flush=True)
        server.serve()


if __name__ == "__main__":
    main()
