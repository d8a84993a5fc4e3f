"""Call an actor without iris_actor: plain gRPC with JSON in it, as a program in any language would.

::

    python examples/quickstart/server.py                                  # prints the address
    python examples/json_client.py 127.0.0.1:40123 calculator.add '[1, 2]'

It asks the server for its own descriptors (gRPC server reflection), so it needs no generated code; with
``protos/iris_actor/_proto/session.proto`` any language's gRPC tools make some. The same from a shell::

    grpcurl -plaintext -d '{"actor": "calculator", "method": "add", "args_json": "[1, 2]"}' \\
        127.0.0.1:40123 iris_actor.v1.Actors/Call
    iris-actor call /demo/calculator.add 1 2 --registry etcd://127.0.0.1:2379

A server that wants a token gets it as the metadata ``authorization: Bearer <token>``.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "iris_actor.v1.Actors"


class JsonActors:
    """A generic client of the service `SERVICE`, made from what the server says about itself."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        pool: Any = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        self._service = pool.FindServiceByName(SERVICE)

    def rpc(self, name: str, timeout: float = 30.0, **fields: Any) -> Any:
        """Call the RPC `name` with a request of these fields; returns its response message."""
        rpc = self._service.methods_by_name[name]
        request_class: Any = GetMessageClass(rpc.input_type)
        response_class: Any = GetMessageClass(rpc.output_type)
        send = self._channel.unary_unary(
            f"/{SERVICE}/{name}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )
        return send(request_class(**fields), timeout=timeout)


def main() -> None:
    """Describe the server's actors, then make the call."""
    parser = argparse.ArgumentParser(description="Call an actor with nothing but gRPC and JSON.")
    parser.add_argument("address", help="host:port of the server")
    parser.add_argument("target", help="NAME.METHOD")
    parser.add_argument("args", nargs="?", default="[]", help="JSON array of arguments")
    options = parser.parse_args()
    actor, _, method = options.target.rpartition(".")
    with grpc.insecure_channel(options.address) as channel:
        actors = JsonActors(channel)
        for described in actors.rpc("Describe").actors:
            methods = ", ".join(f"{m.name}{m.signature}" for m in described.methods)
            print(f"{described.name}: {methods}", file=sys.stderr)
        response = actors.rpc("Call", actor=actor, method=method, args_json=options.args)
    if response.error_type:
        sys.exit(f"{response.error_type}: {response.error_message}")
    print(json.dumps(json.loads(response.result_json)))


if __name__ == "__main__":
    main()
