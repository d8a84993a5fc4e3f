"""Threads that a pool may need at the interpreter's exit, on versions that start none then."""

from __future__ import annotations

import sys

from iris_actor.rpc.io_thread import io_thread
from iris_actor.rpc.serial_thread import start_serial_threads
from iris_actor.work.pool.monitor.pool_monitor import PoolMonitor
from iris_actor.work.site import Site

EXIT_STARTS_NO_THREADS = (3, 12) <= sys.version_info < (3, 12, 3)
"""Whether CPython starts no threads any more when the main thread has ended (python/cpython gh-113964)."""


def start_threads_for_exit(site: Site, monitor: PoolMonitor) -> None:
    """Start what a pool would otherwise start when it comes to that; nothing where the exit may do so.

    Args:
        site: of the pool; its launcher has its threads.
        monitor: of the pool, which has been started.
    """
    if EXIT_STARTS_NO_THREADS:
        start_serial_threads()
        io_thread()
        monitor.wait_seen(site.resolver)  # by then the watch of the registry has its threads
