"""Registry: who is where. Endpoints are announced in it, and found by name."""

from iris_actor.registry.connect import connect_registry
from iris_actor.registry.endpoint import ActorId, Endpoint
from iris_actor.registry.registry import Directory, Registration, RegistrationState, Registry
from iris_actor.registry.url import RegistryURL

__all__ = [
    "connect_registry",
    "Registry",
    "Registration",
    "RegistrationState",
    "Directory",
    "Endpoint",
    "ActorId",
    "RegistryURL",
]
