"""What iris_actor asks of gRPC, unless the user has asked for something else. Import it before gRPC.

gRPC reads these when it is imported, and when the first channel or server is made.
"""

import os

# gRPC writes a line to stderr whenever a connection ends, also an ordinary one.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
# gRPC would halt its threads for a fork, and start them again in parent and child, and crashes some of them.
# A child must not use the connections anyway: it gets a ForkedProcessError.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
