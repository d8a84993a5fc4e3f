"""rpc: one multiplexed gRPC stream per pair of peers, that carries calls whose bodies it does not open.

::

    caller's thread ─ ClientSession.start(call) ─► outbox ─┐ wakes once per burst
                                                           ▼
                        Link: packets, acknowledgements, chunks      (the I/O thread)
                                                           ▼
                                        gRPC stream  ◄───────────►  gRPC stream
                                                                        ▼
                        ServerSession: IncomingCall ─► dispatcher (the actor layer)
"""

import iris_actor.grpc_settings  # noqa: F401 - before anything here imports gRPC
