"""The id of an etcd's data: a random text under ``<prefix>/store``.

An etcd that began anew, or another etcd behind the same address, has revisions that look like those of before
and mean nothing to us. Whoever puts the first key on a lease gives the data an id; watches compare it.
"""

from __future__ import annotations

import json
import socket
import uuid


def data_id_key(prefix: str) -> bytes:
    """Where the id is, below `prefix`."""
    return f"{prefix}/store".encode()


def new_data_id() -> bytes:
    """An id for data that have none: JSON, which says who gave it."""
    return json.dumps({"id": uuid.uuid4().hex, "made_by": socket.gethostname()}).encode()
