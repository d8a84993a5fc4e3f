"""One module a peer, each with a `create()` that gives its `Peer`; the order here is the tables' order."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.peers.base import Peer

MODULES: dict[str, str] = {
    "iris": "benchmarks.peers.iris",
    "tcp": "benchmarks.peers.tcp_pickle",
    "unix": "benchmarks.peers.bare_socket",
    "grpc-unary": "benchmarks.peers.grpc_unary",
    "grpc-stream": "benchmarks.peers.grpc_stream",
    "ray": "benchmarks.peers.ray_actor",
    "xoscar": "benchmarks.peers.xoscar_actor",
    "pyro5": "benchmarks.peers.pyro5_object",
    "rpyc": "benchmarks.peers.rpyc_service",
    "dask": "benchmarks.peers.dask_cluster",
    "loky": "benchmarks.peers.loky_pool",
    "processpool": "benchmarks.peers.process_pool",
}


def create(name: str) -> Peer:
    """Import a peer's module, and with it its packages, and build the peer; nothing is started yet."""
    peer: Peer = importlib.import_module(MODULES[name]).create()
    return peer
