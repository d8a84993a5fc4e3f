"""A real etcd with `ENDPOINTS` names in one namespace and `FEW` in another, in a process of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from benchmarks.peers.base import ENDPOINTS, FEW, address_of
from benchmarks.processes import announce, wait_for_end
from iris_actor import ActorId, Endpoint, connect_registry
from iris_actor.testing import EtcdProcess

TIMEOUT = 30.0
"""Seconds for one registration, on a machine that is busy."""
THREADS = 64


def namespace(names: int) -> str:
    """The namespace that has so many names."""
    return f"names-{names}"


def name(number: int) -> str:
    """The name of that number, in either namespace."""
    return f"actor-{number}"


def endpoint(names: int, number: int) -> Endpoint:
    return Endpoint(
        name=f"{namespace(names)}/{name(number)}",
        actor_id=ActorId(f"id-{number}"),
        address=address_of(number),
    )


def serve() -> None:
    with (
        EtcdProcess() as etcd,
        connect_registry(etcd.url) as registry,
        ThreadPoolExecutor(THREADS) as threads,
    ):
        wanted = [endpoint(names, number) for names in (ENDPOINTS, FEW) for number in range(names)]
        # A list, so that what one of them raised is raised here.
        list(threads.map(lambda one: registry.register(one, TIMEOUT), wanted))
        announce(etcd.url)
        wait_for_end()


if __name__ == "__main__":
    serve()
