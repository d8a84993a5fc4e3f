"""loky: its `ProcessPoolExecutor`, the one that joblib stands on."""

from __future__ import annotations

from loky import ProcessPoolExecutor

from benchmarks.peers.executors import ExecutorPeer


def create() -> ExecutorPeer:
    peer = ExecutorPeer(lambda workers: ProcessPoolExecutor(max_workers=workers), "loky")
    peer.distributions = ("loky",)
    return peer
