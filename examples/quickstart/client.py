"""Call an actor by name, in every way there is. See ``server.py`` for how to run it.

Shows: a blocking call, futures, asyncio, a stream, an exception that arrives as itself.
"""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import as_completed

from iris_actor import ActorPool, EtcdResolver


async def add_in_asyncio(calculator: ActorPool[object]) -> list[float]:
    """Three calls at a time from an event loop."""
    calls = [calculator.acall(timeout=5).add(n, 0.5) for n in range(3)]
    return list(await asyncio.gather(*calls))


def main() -> None:
    """Find the actor and call it."""
    registry = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("IRIS_REGISTRY", "etcd://127.0.0.1:2379")
    with EtcdResolver(registry, namespace="demo") as resolver:
        calculator = resolver.lookup("calculator")
        print("add(1, 2) =", calculator.call(timeout=5).add(1, 2))

        futures = [calculator.submit().add(n, n) for n in range(4)]
        print("in any order:", sorted(future.result() for future in as_completed(futures, timeout=10)))

        print("in asyncio:", asyncio.run(add_in_asyncio(calculator)))

        print("a stream:", *calculator.stream(timeout=5).countdown(5))

        try:
            calculator.call(timeout=5).divide(1, 0)
        except ZeroDivisionError as error:
            print(f"the actor raised {error!r}, and its traceback is the cause:{error.__cause__}")
        print("calls so far:", calculator.call(timeout=5).calls())


if __name__ == "__main__":
    main()
