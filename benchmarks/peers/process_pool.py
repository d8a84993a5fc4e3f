"""The standard library's `concurrent.futures.ProcessPoolExecutor`, with its default start method."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

from benchmarks.peers.executors import ExecutorPeer


def create() -> ExecutorPeer:
    return ExecutorPeer(lambda workers: ProcessPoolExecutor(max_workers=workers), "concurrent.futures")
