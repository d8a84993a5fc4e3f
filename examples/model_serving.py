"""Serve a model on two replicas: round robin over both, and its tokens as a stream.

::

    python -m examples.model_serving

Starts an embedded etcd and two processes that serve the same name. The model is a bigram chain over a few
sentences, so that it needs no download; what counts is the way of its tokens: an async generator in the
replica, a loop in the caller, and at most a bounded number of tokens in between. Leaving the loop early
stops the generator.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from itertools import pairwise

from examples.actor_process import start_actor
from iris_actor import ActorPool, IrisClient

REPLICAS = 2
_TEXT = """
the model answers one token at a time and the caller reads one token at a time
a replica that is busy lets the next replica answer and a replica that is gone is no longer asked
the caller finds a replica by name and the name stays the same when a replica is gone
"""


class Model:
    """Continues a prompt, token by token."""

    def __init__(self) -> None:
        words = _TEXT.split()
        self._following: dict[str, list[str]] = defaultdict(list)
        for word, following in pairwise(words):
            self._following[word].append(following)

    def likelihood(self, word: str, following: str) -> tuple[float, int]:
        """How likely `following` comes after `word`, and the process that says so."""
        known = self._following.get(word, [])
        return (known.count(following) / len(known) if known else 0.0), os.getpid()

    async def tokens(self, prompt: str, count: int = 12, seed: int = 0) -> AsyncIterator[str]:
        """Up to `count` tokens after `prompt`."""
        chance = random.Random(seed)  # noqa: S311 - a model, not a secret
        word = prompt.rsplit(maxsplit=1)[-1]
        for _ in range(count):
            if word not in self._following:
                return
            word = chance.choice(self._following[word])
            await asyncio.sleep(0.005)  # a real model computes here
            yield word


async def stream_together(model: ActorPool[Model], prompts: list[str]) -> list[str]:
    """Continue all prompts at the same time; each stream is at one of the replicas."""

    async def continued(prompt: str, seed: int) -> str:
        stream = model.stream(timeout=20).tokens(prompt, seed=seed)
        return " ".join([prompt, *[token async for token in stream]])

    return await asyncio.gather(*(continued(prompt, seed) for seed, prompt in enumerate(prompts)))


def main() -> None:
    """Start the replicas and talk to them."""
    with IrisClient.local(namespace="demo") as client:
        for number in range(REPLICAS):
            options = ("--max-concurrency", "8", "--metadata", f"replica={number}")
            start_actor(client, "examples.model_serving:Model", "model", *options)
        model = client.resolver.lookup("model", Model)
        model.wait_for_size(REPLICAS, timeout=30)
        print("replicas:", ", ".join(f"{e.metadata['replica']} at {e.address}" for e in model.endpoints()))

        answers = Counter(model.call(timeout=5).likelihood("a", "replica")[1] for _ in range(10))
        print("round robin, answers of each replica:", sorted(answers.values()))
        assert sorted(answers.values()) == [5, 5]

        print("one stream: the", end="", flush=True)
        for token in model.stream(timeout=20).tokens("the", seed=3):
            print("", token, end="", flush=True)
        print()

        for line in asyncio.run(stream_together(model, ["a replica", "the caller", "the name", "one token"])):
            print("together:", line)

        with model.stream(timeout=20).tokens("the", count=1_000_000) as stream:
            first = [next(stream) for _ in range(3)]
        print("left early after:", *first)


if __name__ == "__main__":
    main()
