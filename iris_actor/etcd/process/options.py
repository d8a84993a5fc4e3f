"""What an EtcdProcess tells its etcd: command-line options and environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_TEMPORARY = {
    "unsafe-no-fsync": "true",
    # etcd maps a file of that size into memory, of 10 GiB by default: more than `ulimit -v` may allow.
    "quota-backend-bytes": str(128 * 1024 * 1024),
    # What is overwritten is forgotten, so that the data of a program that runs for months stay small.
    "auto-compaction-mode": "revision",
    "auto-compaction-retention": "10000",
}
"""For data that end with the process."""


def server_options(
    client_url: str, peer_url: str, data_dir: Path | None, folder: Path, more: Mapping[str, str]
) -> dict[str, str]:
    """etcd's command-line options by name, without the dashes.

    Args:
        client_url: where clients connect to.
        peer_url: where other members of a cluster do.
        data_dir: folder for the data; None for data that end with the process, in `folder`.
        folder: temporary folder of the process.
        more: further options; they win over ours.
    """
    options = {
        "name": "default",
        "data-dir": str(data_dir or folder / "data"),
        "listen-client-urls": client_url,
        "advertise-client-urls": client_url,
        "listen-peer-urls": peer_url,
        "initial-advertise-peer-urls": peer_url,
        "initial-cluster": f"{more.get('name', 'default')}={peer_url}",
        "socket-reuse-port": "true",
        "logger": "zap",
        "log-level": "info",
        # Members on one machine need no patience with each other; and leases may be as short as 1 s.
        "heartbeat-interval": "20",
        "election-timeout": "200",
    }
    if data_dir is None:
        options |= _TEMPORARY
    return {**options, **more}


def environment() -> dict[str, str]:
    """The environment that etcd gets."""
    # etcd reads its options from there too; only the leave to run on an unusual machine stays the user's. And
    # it may not ask a proxy for itself or for the other members.
    return {
        name: value
        for name, value in os.environ.items()
        if (not name.startswith("ETCD_") or name == "ETCD_UNSUPPORTED_ARCH")
        and not name.lower().endswith("_proxy")
    }
