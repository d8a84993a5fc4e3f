"""etcd3 and the stubs that it runs on: our own, in place of those that it brings along.

etcd3 0.12.0, its last release, is of 2020; its generated code cannot be imported with protobuf 4 or later.
The known ways round that are protobuf 3, or ``PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python``: the one holds
back everything else in the process, the other slows all of protobuf down twenty-fold. So we generate
the same messages from our own proto and put them where etcd3 looks for them, before it does.

Import etcd3 from here, nowhere else.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import iris_actor.grpc_settings  # noqa: F401 - before the stubs import gRPC
from iris_actor._proto import etcd_kv_pb2, etcd_rpc_pb2, etcd_rpc_pb2_grpc

_NAME = "etcd3.etcdrpc"


def _etcdrpc() -> ModuleType:
    module = ModuleType(_NAME, "etcd's messages and stubs, as iris_actor generated them.")
    for source in (etcd_kv_pb2, etcd_rpc_pb2, etcd_rpc_pb2_grpc):
        public = {name: value for name, value in vars(source).items() if not name.startswith("_")}
        vars(module).update(public)
    return module


etcdrpc: Any = sys.modules.setdefault(_NAME, _etcdrpc())

import etcd3  # noqa: E402 - only now does it find the stubs

__all__ = ["etcd3", "etcdrpc"]
