"""Lab: an actor that does what tests ask for, and a process that hosts one.

python -m tests.support.lab --registry=etcd://... --namespace=demo --name=actor --port=0
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from iris_actor import ActorServer, call_context, method

PATIENCE = 30.0


class Lab:
    """Counts, holds and runs things. Methods of group "control" answer while others are held."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._gates: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self._open = False

    def _gate(self, name: str) -> threading.Event:
        with self._lock:
            gate = self._gates.setdefault(name, threading.Event())
            if self._open:
                gate.set()
            return gate

    def echo(self, value: Any) -> Any:
        """What it is given."""
        return value

    def pid(self) -> int:
        """This process."""
        return os.getpid()

    def count(self, name: str = "") -> int:
        """How often it was called with `name`."""
        self._counts[name] += 1
        return self._counts[name]

    def hold(self, name: str) -> str:
        """Count, then block until `release(name)`."""
        self._counts[name] += 1
        assert self._gate(name).wait(PATIENCE), f"nobody released {name}"
        return f"{name} in {os.getpid()}"

    def hold_for(self, path: str) -> int:
        """Count, then block until the file `path` is there: for servers that take no call any more."""
        self._counts[path] += 1
        end = time.monotonic() + PATIENCE
        while not Path(path).exists():
            assert time.monotonic() < end, f"nobody made {path}"
            time.sleep(0.005)
        return os.getpid()

    def wait_cancelled(self, name: str) -> None:
        """Block until nobody waits for this call any more, and count that."""
        context = call_context()
        self._counts[f"{name} began"] += 1
        end = time.monotonic() + PATIENCE
        while not context.cancelled and time.monotonic() < end:
            time.sleep(0.005)
        self._counts[f"{name} cancelled"] += context.cancelled

    def items(self, count: int, name: str = "items") -> Iterator[int]:
        """A stream of numbers; counts what it yielded, and its end."""
        try:
            for number in range(count):
                self._counts[name] += 1
                yield number
        finally:
            self._counts[f"{name} closed"] += 1

    def items_held(self, count: int, gate: str, at: int) -> Iterator[int]:
        """A stream of numbers that blocks before item `at` until `release(gate)`."""
        for number in range(count):
            if number == at:
                assert self._gate(gate).wait(PATIENCE), f"nobody released {gate}"
            yield number

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """``function(*args)``."""
        return function(*args)

    def die_at_first(self, path: str, times: int) -> str:
        """Add a line to the file `path`, and end the process unless it has more than `times` by now."""
        with Path(path).open("a") as lines:
            lines.write(f"{os.getpid()}\n")
        if len(Path(path).read_text().splitlines()) <= times:
            os._exit(1)
        return "done"

    @method(group="control")
    def release(self, name: str) -> None:
        """Let `hold(name)` go on, for ever."""
        self._gate(name).set()

    @method(group="control")
    def release_all(self) -> None:
        """Hold nothing any more."""
        with self._lock:
            self._open = True
            for gate in self._gates.values():
                gate.set()

    @method(group="control")
    def counted(self, name: str = "") -> int:
        """How often something was counted."""
        return self._counts[name]

    @method(group="control")
    def identify(self) -> int:
        """This process, also while others are held."""
        return os.getpid()


def main() -> None:
    """Host a Lab until a signal comes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--registry", default="")
    parser.add_argument("--namespace", default="test")
    parser.add_argument("--name", default="actor")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--drain-timeout", type=float, default=20.0)
    options = parser.parse_args()
    server = ActorServer(
        options.registry or None,
        namespace=options.namespace,
        port=options.port,
        drain_timeout=options.drain_timeout,
    )
    server.register(options.name, Lab(), max_concurrency=8, concurrency_groups={"control": 2})
    server.serve_background()
    print(f"serving {server.address}", flush=True)
    server.serve()


if __name__ == "__main__":
    main()
