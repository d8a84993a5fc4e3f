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

import os

# gRPC writes a line to stderr whenever a connection ends, also an ordinary one. It reads this when the
# first channel or server is made, and what the user has set stands.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
# gRPC would restart its threads in a forked child, and crashes some of them. A child must not use the
# connections anyway: it gets a ForkedProcessError.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
