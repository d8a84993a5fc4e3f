"""An actor that calls another one: the caller's deadline travels along, and so does the end of the work.

::

    python -m examples.deadlines

A front end and a search are two actors in two processes. The front end asks the search without a timeout of
its own: the search still learns how long the first caller waits, and is cancelled when that time is over.
"""

from __future__ import annotations

import asyncio
import time

from examples.actor_process import start_actor
from iris_actor import EtcdResolver, IrisClient, call_context
from iris_actor.errors import DeadlineExceededError


class Search:
    """A search that takes as long as it is told to."""

    def __init__(self) -> None:
        self._log: list[tuple[str, float, str]] = []

    async def find(self, question: str, seconds: float) -> str:
        """An answer after `seconds`, unless nobody waits for it any more."""
        left = call_context().time_remaining()
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self._log.append((question, left, "cancelled"))
            raise
        self._log.append((question, left, "answered"))
        return f"the answer to {question!r}"

    def log(self) -> list[tuple[str, float, str]]:
        """Each question, the seconds that were left when it arrived, and what became of it."""
        return self._log


class FrontEnd:
    """Passes questions on to the search."""

    def __init__(self, registry: str, namespace: str) -> None:
        self._search = EtcdResolver(registry, namespace=namespace).lookup("search")

    def ask(self, question: str, seconds: float) -> str:
        """The search's answer. No timeout here: what is left to our own caller counts."""
        time.sleep(0.1)  # some work of our own, which uses up a part
        answer: str = self._search.call().find(question, seconds)
        return answer


def main() -> None:
    """Ask a quick and a slow question, with the same patience."""
    with IrisClient.local(namespace="demo") as client:
        start_actor(client, "examples.deadlines:Search", "search")
        where = ("--arg", client.registry_url, "--arg", client.namespace)
        start_actor(client, "examples.deadlines:FrontEnd", "front-end", *where)
        search = client.resolver.lookup("search", Search)
        front_end = client.resolver.lookup("front-end", FrontEnd)
        search.wait_for_size(1, timeout=30)
        front_end.wait_for_size(1, timeout=30)

        patience = 2.0
        print("quick question:", front_end.call(timeout=patience).ask("6 * 7", 0.01))
        begun = time.monotonic()
        try:
            front_end.call(timeout=patience).ask("the meaning of it all", 3600)
        except DeadlineExceededError as error:
            print(f"slow question: {type(error).__name__} after {time.monotonic() - begun:.1f} s of 3600 s")
        log = search.call(timeout=10).log()
        for question, left, outcome in log:
            print(f"the search saw {question!r}: {left:.2f} s left of {patience}, {outcome}")
        assert [outcome for _, _, outcome in log] == ["answered", "cancelled"]
        assert all(0 < left < patience for _, left, _ in log)


if __name__ == "__main__":
    main()
