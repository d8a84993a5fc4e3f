"""ResolveResult: the endpoints of a name at one moment."""

from __future__ import annotations

from dataclasses import dataclass

from iris_actor.registry.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class ResolveResult:
    """The endpoints of a name at one moment.

    Attributes:
        name: full name, namespace included.
        endpoints: where it is served, in order of registration.
        revision: registry revision at which the resolver saw this.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    revision: int

    @property
    def is_empty(self) -> bool:
        """Whether nobody serves the name."""
        return not self.endpoints

    def first(self) -> Endpoint:
        """The endpoint that was registered first.

        Raises:
            LookupError: when there is none.
        """
        if not self.endpoints:
            raise LookupError(f"no endpoint serves {self.name!r}")
        return self.endpoints[0]
