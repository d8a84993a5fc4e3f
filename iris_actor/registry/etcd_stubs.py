"""Makes the etcd3 package importable with any protobuf.

etcd3 0.12.0, of 2020, carries stubs that protobuf 4 and later refuse to load. We generate them anew from
our own description of etcd's API and put them in the place of ``etcd3.etcdrpc`` before etcd3 is imported.
Neither an old protobuf nor its slow pure-Python implementation is needed.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from iris_actor._proto import etcd_rpc_pb2, etcd_rpc_pb2_grpc


def load_etcd3() -> Any:
    """The etcd3 package, with our stubs in it."""
    if "etcd3" not in sys.modules:
        stubs = ModuleType("etcd3.etcdrpc")
        for module in (etcd_rpc_pb2, etcd_rpc_pb2_grpc):
            stubs.__dict__.update(
                {name: value for name, value in vars(module).items() if not name.startswith("_")}
            )
        sys.modules["etcd3.etcdrpc"] = stubs
    import etcd3

    return etcd3
