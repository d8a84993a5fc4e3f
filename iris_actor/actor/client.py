"""ActorClient: the handle that looks like the actor itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from iris_actor.actor.pool import ActorPool
from iris_actor.actor.resolver import Resolver


class ActorClient:
    """A handle whose methods are the actor's: ``client.predict(x)`` blocks and returns the value.

    Args:
        resolver: where to look the name up.
        name: actor name. With several endpoints each call goes to the next one.
        timeout: seconds for each call; None for no limit.
        resolve_timeout: seconds to wait for the name to appear.

    Thread-safe; pickles. Raises what `ActorPool.call` raises. For futures, streams and asyncio use
    `Resolver.lookup`.
    """

    def __init__(
        self, resolver: Resolver, name: str, *, timeout: float | None = None, resolve_timeout: float = 30.0
    ) -> None:
        self._pool: ActorPool[Any] = resolver.lookup(name, resolve_timeout=resolve_timeout)
        self._timeout = timeout
        self._methods = self._pool.call(timeout)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):  # also keeps pickle and copy from asking the far side
            raise AttributeError(f"{name!r} is private and cannot be called")
        function: Callable[..., Any] = getattr(self._methods, name)
        return function

    def __reduce__(self) -> tuple[Any, ...]:
        return ActorClient.__new__, (ActorClient,), (self._pool, self._timeout)

    def __setstate__(self, state: tuple[ActorPool[Any], float | None]) -> None:
        self._pool, self._timeout = state
        self._methods = self._pool.call(self._timeout)

    def __repr__(self) -> str:
        return f"ActorClient({self._pool.name!r})"
