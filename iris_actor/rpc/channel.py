"""Channel: names of the gRPC methods, and the options that both sides of a connection set."""

from __future__ import annotations

from typing import Any

from iris_actor.grpc_settings import SESSION_PATIENCE_MS
from iris_actor.rpc.limits import MAX_MESSAGE

SESSION_SERVICE = "iris_actor.v1.Session"
ACTORS_SERVICE = "iris_actor.v1.Actors"
CONNECT_METHOD = f"/{SESSION_SERVICE}/Connect"
CALL_METHOD = f"/{ACTORS_SERVICE}/Call"
DESCRIBE_METHOD = f"/{ACTORS_SERVICE}/Describe"

_COMMON: list[tuple[str, Any]] = [
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    # A peer that is silent for 10 s is asked for a sign of life, and given 5 s for it.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", SESSION_PATIENCE_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    # gRPC 1.85 waits for the answer to a ping by this one, and for keepalive by the one above.
    ("grpc.http2.ping_timeout_ms", SESSION_PATIENCE_MS),
    ("grpc.http2.max_pings_without_data", 0),
    # gRPC obeys http_proxy, https_proxy and grpc_proxy, for addresses of this host and this cluster too.
    ("grpc.enable_http_proxy", 0),
]

CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    *_COMMON,
    # A connection of its own for each session: a shared one would share its reconnection backoff too.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
]

SERVER_OPTIONS: list[tuple[str, Any]] = [
    *_COMMON,
    # With SO_REUSEPORT two servers could bind one port, and a taken port would be no error.
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
]
