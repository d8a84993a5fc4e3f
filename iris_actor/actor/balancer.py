"""Balancers: which of several endpoints gets the next call."""

# ruff: noqa: ARG002 - not every balancer needs all that the protocol offers

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Protocol

from iris_actor.registry.endpoint import Endpoint


class Balancer(Protocol):
    """Chooses an endpoint for a call. One belongs to one pool; must be thread-safe."""

    def pick(
        self, endpoints: Sequence[Endpoint], key: str | None, pending: Callable[[Endpoint], int]
    ) -> Endpoint:
        """One of `endpoints` (never empty).

        Args:
            endpoints: those that may be chosen, in order of registration.
            key: the call's ``key=``, if it has one.
            pending: tells how many calls of this process wait for an endpoint's server.
        """


class RoundRobin:
    """Each endpoint in turn, in order of registration."""

    def __init__(self) -> None:
        self._turn = itertools.count()

    def pick(
        self,
        endpoints: Sequence[Endpoint],
        key: str | None,
        pending: Callable[[Endpoint], int],
    ) -> Endpoint:
        return endpoints[next(self._turn) % len(endpoints)]


class LeastPending:
    """The endpoint whose server has the fewest calls of this process waiting; in turn among equals."""

    def __init__(self) -> None:
        self._turn = itertools.count()

    def pick(
        self,
        endpoints: Sequence[Endpoint],
        key: str | None,
        pending: Callable[[Endpoint], int],
    ) -> Endpoint:
        start = next(self._turn) % len(endpoints)
        return min((*endpoints[start:], *endpoints[:start]), key=pending)


class Hash:
    """The same endpoint for the same ``key=``, as long as it is there.

    Rendezvous hashing: when an endpoint comes or goes, only the keys that it wins or held move (Thaler and
    Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM ToN 1998).
    """

    def pick(
        self,
        endpoints: Sequence[Endpoint],
        key: str | None,
        pending: Callable[[Endpoint], int],
    ) -> Endpoint:
        if key is None:
            raise ValueError("the hash balancer needs a key: pool.call(key=...)")
        prefix = key.encode()
        return max(
            endpoints,
            key=lambda endpoint: blake2b(
                b"%s\0%s" % (prefix, (endpoint.actor_id or endpoint.address).encode()), digest_size=8
            ).digest(),
        )


_BY_NAME: dict[str, Callable[[], Balancer]] = {
    "round_robin": RoundRobin,
    "least_pending": LeastPending,
    "hash": Hash,
}


def make_balancer(balancer: str | Balancer) -> Balancer:
    """The balancer of that name, or the one that is given.

    Raises:
        ValueError: for an unknown name.
    """
    if not isinstance(balancer, str):
        return balancer
    if balancer not in _BY_NAME:
        raise ValueError(f"unknown balancer {balancer!r}: choose one of {', '.join(_BY_NAME)}")
    return _BY_NAME[balancer]()
