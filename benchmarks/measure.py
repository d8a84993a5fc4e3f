"""The timing loops. Every way of every peer is timed by the same lines, and every reply is verified.

A *feed* produces the values for a way, is told each reply and how long it took, checks the reply outside of
the timed span, and ends by itself when its budget is used up.
"""

from __future__ import annotations

import inspect
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Sequence

Sample = dict[str, float]


class MismatchError(AssertionError):
    """A peer's reply is not what it was asked for: its figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long one measurement goes on: `seconds`, but no fewer and no more repetitions than given."""

    seconds: float
    at_least: int
    at_most: int


class Feed(Protocol):
    """The values of one measurement, and the verdict on the replies."""

    def __iter__(self) -> Iterator[Any]: ...

    def touch(self, reply: Any) -> None:
        """Inside the timed span: what a caller must do before the reply is really there."""

    def took(self, reply: Any, nanoseconds: int) -> None:
        """Outside of the timed span: verify and note."""

    def sample(self) -> Sample: ...


class _BudgetedFeed:
    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.times: list[int] = []
        # No two measurements send the same values, so that nothing can answer from a cache.
        self.base = random.randrange(1 << 20)

    def go_on(self, count: int, started: float) -> bool:
        if count < self.budget.at_least:
            return True
        return count < self.budget.at_most and time.perf_counter() - started < self.budget.seconds

    def touch(self, reply: Any) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        count, started = 0, time.perf_counter()
        while self.go_on(count, started):
            yield self.value(count)
            count += 1

    def value(self, count: int) -> Any:
        raise NotImplementedError


class CallFeed(_BudgetedFeed):
    """One small int a call; p50 and p99 of the calls' times."""

    def value(self, count: int) -> int:
        self.expected = (self.base + count) & 0xFFFF
        return self.expected

    def took(self, reply: Any, nanoseconds: int) -> None:
        if reply != self.expected:
            raise MismatchError(f"sent {self.expected}, got back {reply!r}")
        self.times.append(nanoseconds)

    def sample(self) -> Sample:
        p50, p99 = np.percentile(self.times, [50, 99]) / 1000
        return {"p50": float(p50), "p99": float(p99), "calls": len(self.times)}


class ListFeed(_BudgetedFeed):
    """`size` calls or tasks at once; how many a second. `step` is what each reply adds to its value."""

    def __init__(self, budget: Budget, size: int, step: int) -> None:
        super().__init__(budget)
        self.size = size
        self.step = step

    def value(self, count: int) -> Sequence[int]:
        first = (self.base + count * 7) & 0xFFFF
        self.expected = list(range(first + self.step, first + self.step + self.size))
        return list(range(first, first + self.size))

    def took(self, reply: Any, nanoseconds: int) -> None:
        if list(reply) != self.expected:
            raise MismatchError(f"{self.size} calls in flight: the replies are not those to the calls")
        self.times.append(nanoseconds)

    def sample(self) -> Sample:
        calls = self.size * len(self.times)
        return {"rate": calls / (sum(self.times) / 1e9), "calls": calls}


class NapFeed(ListFeed):
    """`size` tasks that take `seconds` each, on `workers` workers; their ideal time over what they took."""

    def __init__(self, budget: Budget, size: int, seconds: float, workers: int) -> None:
        super().__init__(budget, size, step=1)
        self.ideal = size * seconds / workers

    def sample(self) -> Sample:
        runs = len(self.times)
        share = self.ideal * runs / (sum(self.times) / 1e9)
        return {"ideal": share, "calls": self.size * runs}


class StreamFeed(ListFeed):
    """A generator's `size` items, one by one; how many a second."""

    def __init__(self, budget: Budget, size: int) -> None:
        super().__init__(budget, size, step=0)

    def value(self, count: int) -> range:
        first = super().value(count)[0]
        return range(first, first + self.size)


class BroadcastFeed(CallFeed):
    """One int to each of `size` members; the time of all of them together."""

    def __init__(self, budget: Budget, size: int) -> None:
        super().__init__(budget)
        self.size = size

    def took(self, reply: Any, nanoseconds: int) -> None:
        members = {member for member, _ in reply}
        if len(reply) != self.size or len(members) != self.size:
            raise MismatchError(f"{len(reply)} replies of {len(members)} members, not {self.size} of each")
        if any(value != self.expected for _, value in reply):
            raise MismatchError(f"sent {self.expected} to all, and got something else back")
        self.times.append(nanoseconds)


class ResolveFeed(_BudgetedFeed):
    """10,000 names, picked at random of `size`, looked up one after the other; µs for each."""

    LOOKUPS = 10_000

    def __init__(self, budget: Budget, size: int, address_of: Callable[[int], str]) -> None:
        super().__init__(budget)
        self.size = size
        self.address_of = address_of

    def value(self, count: int) -> list[int]:  # noqa: ARG002 - picked at random
        self.numbers = random.choices(range(self.size), k=self.LOOKUPS)
        return self.numbers

    def took(self, reply: Any, nanoseconds: int) -> None:
        found = [[endpoint.address for endpoint in result.endpoints] for result in reply]
        if found != [[self.address_of(number)] for number in self.numbers]:
            raise MismatchError("a name was resolved to the address of another")
        self.times.append(nanoseconds)

    def sample(self) -> Sample:
        calls = self.LOOKUPS * len(self.times)
        return {"us": sum(self.times) / 1000 / calls, "calls": calls}


class SyncFeed(_BudgetedFeed):
    """A new resolver's first listing, of `size` names; its median time in seconds."""

    def __init__(self, budget: Budget, size: int) -> None:
        super().__init__(budget)
        self.size = size

    def value(self, count: int) -> int:
        return count

    def took(self, reply: Any, nanoseconds: int) -> None:
        names = reply.list()
        reply.close()
        if len(set(names)) != self.size:
            raise MismatchError(f"a synced resolver lists {len(set(names))} names, not {self.size}")
        self.times.append(nanoseconds)

    def sample(self) -> Sample:
        return {"seconds": float(np.median(self.times)) / 1e9, "calls": len(self.times)}


class StartFeed(CallFeed):
    """A fresh process until it has told the next int; its median time in ms."""

    def took(self, reply: Any, nanoseconds: int) -> None:
        reply.end()
        if reply.value != self.expected + 1:
            raise MismatchError(f"asked for {self.expected + 1}, a fresh process told {reply.value}")
        self.times.append(nanoseconds)

    def sample(self) -> Sample:
        return {"ms": float(np.median(self.times)) / 1e6, "calls": len(self.times)}


class MemoryFeed(_BudgetedFeed):
    """What `size` things cost each side, for one of them, in units of `unit` bytes."""

    def __init__(self, budget: Budget, size: int, unit: float) -> None:
        super().__init__(budget)
        self.size = size
        self.unit = unit
        self.costs: list[Sample] = []

    def value(self, count: int) -> int:  # noqa: ARG002 - the same each time
        return self.size

    def took(self, reply: Any, nanoseconds: int) -> None:
        self.times.append(nanoseconds)
        self.costs.append({side: reply[side] / self.size / self.unit for side in ("client", "server")})

    def sample(self) -> Sample:
        sides = {side: float(np.median([cost[side] for cost in self.costs])) for side in ("client", "server")}
        return {**sides, "worse": max(sides.values()), "calls": len(self.times)}


class _EchoFeed(_BudgetedFeed):
    """Payloads of `size` bytes; how many a second, and GB/s with both directions counted."""

    def __init__(self, budget: Budget, size: int) -> None:
        super().__init__(budget)
        self.size = size

    def sample(self) -> Sample:
        rate = len(self.times) / (sum(self.times) / 1e9)
        return {"rate": rate, "gbps": 2 * self.size * rate / 1e9, "calls": len(self.times)}


class ArrayFeed(_EchoFeed):
    """An array whose every element changes from echo to echo."""

    def __init__(self, budget: Budget, size: int) -> None:
        super().__init__(budget, size)
        self.array = np.arange(size // 8, dtype=np.int64) + self.base

    def value(self, count: int) -> Any:  # noqa: ARG002 - the array itself counts
        self.array += 1
        return self.array

    def touch(self, reply: Any) -> None:
        # One element of each page: memory that is mapped but not yet filled counts as not arrived.
        if self.size and (int(reply[::512].sum()) == 0 or reply[-1] != self.array[-1]):
            raise MismatchError("the echoed array is not the one that was sent")

    def took(self, reply: Any, nanoseconds: int) -> None:
        if reply is self.array or np.may_share_memory(reply, self.array):
            raise MismatchError("the echoed array is the caller's own: it never left the process")
        if reply.dtype != self.array.dtype or not np.array_equal(reply, self.array):
            raise MismatchError("the echoed array is not the one that was sent")
        self.times.append(nanoseconds)


class BytesFeed(_EchoFeed):
    """A bytes object that is another one in each echo."""

    def __init__(self, budget: Budget, size: int) -> None:
        super().__init__(budget, size)
        # Random, so that nothing can compress it.
        self.rest = random.randbytes(min(size, 1 << 20)) * max(1, size >> 20)

    def value(self, count: int) -> bytes:
        head = (self.base + count).to_bytes(8, "big")
        self.sent = (head + self.rest[8:]) if self.size else b""
        return self.sent

    def touch(self, reply: Any) -> None:
        # One byte of each page, as for arrays.
        if len(reply) != self.size or sum(reply[::4096]) != sum(self.sent[::4096]):
            raise MismatchError("the echoed bytes are not those that were sent")

    def took(self, reply: Any, nanoseconds: int) -> None:
        if self.size and reply is self.sent:
            raise MismatchError("the echoed bytes are the caller's own: they never left the process")
        if bytes(reply) != self.sent:
            raise MismatchError("the echoed bytes are not those that were sent")
        self.times.append(nanoseconds)


def measure(way: Callable[[Any], Any], feed: Feed, loop: asyncio.AbstractEventLoop | None) -> Sample:
    """Time `way` over everything that `feed` produces."""
    if inspect.iscoroutinefunction(way):
        assert loop is not None
        loop.run_until_complete(_time_async(way, feed))
    else:
        _time(way, feed)
    return feed.sample()


def _time(way: Callable[[Any], Any], feed: Feed) -> None:
    now, touch = time.perf_counter_ns, feed.touch
    for value in feed:
        start = now()
        reply = way(value)
        touch(reply)
        took = now() - start
        feed.took(reply, took)
        del reply


async def _time_async(way: Callable[[Any], Any], feed: Feed) -> None:
    now, touch = time.perf_counter_ns, feed.touch
    for value in feed:
        start = now()
        reply = await way(value)
        touch(reply)
        took = now() - start
        feed.took(reply, took)
        del reply
