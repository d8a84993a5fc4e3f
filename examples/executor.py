"""Code written for `ProcessPoolExecutor`, moved to a `WorkerPool` by one line.

::

    python examples/executor.py --executor process
    python examples/executor.py --executor iris

Both print the same. A `WorkerPool` is a `concurrent.futures.Executor`: `map`, `submit`, `as_completed` and
whatever else takes an Executor go on to work. Its workers may be on other machines, and one that dies is
replaced and its task run again.
"""

from __future__ import annotations

import argparse
import math
import random
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed

from iris_actor import WorkerPool

SHARDS = 8
POINTS = 50_000


def hits(seed: int) -> int:
    """How many of `POINTS` random points of the unit square are inside the circle."""
    chance = random.Random(seed)  # noqa: S311 - a simulation, not a secret
    return sum(math.hypot(chance.random(), chance.random()) <= 1 for _ in range(POINTS))


def smallest_factor(number: int) -> int:
    """The smallest prime factor of `number`."""
    return next((d for d in range(2, math.isqrt(number) + 1) if number % d == 0), number)


def run(executor: Executor) -> list[str]:
    """The program: knows nothing but that it was given an Executor."""
    inside = sum(executor.map(hits, range(SHARDS)))
    lines = [f"pi is about {4 * inside / (SHARDS * POINTS):.4f}"]
    futures = {executor.submit(smallest_factor, n): n for n in (1_000_003, 1_022_117, 1_018_081)}
    factors = {futures[future]: future.result() for future in as_completed(futures, timeout=60)}
    lines += [f"smallest factor of {number}: {factors[number]}" for number in sorted(factors)]
    return lines


def main() -> None:
    """Run the program with the executor that was asked for."""
    parser = argparse.ArgumentParser(description="The same program on two executors.")
    parser.add_argument("--executor", choices=["process", "iris"], default="iris")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    kind = ProcessPoolExecutor if options.executor == "process" else WorkerPool  # the one line
    with kind(max_workers=options.workers) as executor:
        for line in run(executor):
            print(line)


if __name__ == "__main__":
    main()
