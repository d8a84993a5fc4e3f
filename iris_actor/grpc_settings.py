"""What iris_actor asks of gRPC, unless the user has asked for something else. Import it before gRPC.

gRPC reads the environment when it is imported, and when the first channel or server is made.
"""

import os

# gRPC writes a line to stderr whenever a connection ends, also an ordinary one.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
# gRPC would halt its threads for a fork, and start them again in parent and child, and crashes some of them.
# A child must not use the connections anyway: it gets a ForkedProcessError.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

SESSION_PATIENCE_MS = 5_023
"""Milliseconds that the other side of a session has to answer a keepalive ping. See `MARKS`."""
ETCD_PATIENCE_MS = 2_023
"""Milliseconds that an etcd has for it. See `MARKS`."""
MARKS = frozenset({SESSION_PATIENCE_MS, ETCD_PATIENCE_MS})
"""gRPC makes these the TCP_USER_TIMEOUT of its sockets (gRPC proposal A18). No round numbers: a forked child
knows our sockets by them (`forked_child`)."""
