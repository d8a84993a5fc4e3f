"""registry: who is where. The write side (`Registry.register`), and the watched read side (`Directory`).

::

    ActorServer ─ register ─► EtcdLease (one lease, a keeper thread) ─► etcd
                                                                        │
    Resolver ◄─ DirectoryCache ◄─ EtcdWatch (a thread a namespace) ◄────┘
"""

from iris_actor.registry.endpoint import ActorId, Endpoint
from iris_actor.registry.registry import Directory, Registration, RegistrationState, Registry
from iris_actor.registry.shared import connect_registry

__all__ = [
    "ActorId",
    "Directory",
    "Endpoint",
    "Registration",
    "RegistrationState",
    "Registry",
    "connect_registry",
]
