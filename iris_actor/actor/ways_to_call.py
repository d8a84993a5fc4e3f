"""WaysToCall: what makes a method's callable for each way to call it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from iris_actor.actor.blocking_call import BlockingCall
from iris_actor.actor.broadcast import Broadcast
from iris_actor.actor.future_call import AsyncCall, FutureCall
from iris_actor.actor.mapping import map_calls
from iris_actor.actor.methods import Make
from iris_actor.actor.options import CallOptions
from iris_actor.actor.pending_call import CallPolicy, PendingCall
from iris_actor.actor.result_stream import ResultStream, StreamCall
from iris_actor.codec import dump_arguments
from iris_actor.errors import RegistryError
from iris_actor.registry.endpoint import Endpoint
from iris_actor.rpc.buffers import own

Call = TypeVar("Call", bound=PendingCall)


class WaysToCall:
    """The calls of one pool. Thread-safe.

    Args:
        policy: of the pool.
        actor: full name of the actor.
    """

    def __init__(self, policy: CallPolicy, actor: str) -> None:
        self._policy = policy
        self._actor = actor

    def calling(self, options: CallOptions) -> Make:
        """Block and return the value."""

        def make(method: str) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                # Sent from where the arguments lie: the caller waits, and cannot change them meanwhile.
                body = dump_arguments(f"{self._actor}.{method}", args, kwargs)
                return BlockingCall(self._policy, self._actor, method, body, options).wait()

            return call

        return make

    def submitting(self, options: CallOptions) -> Make:
        """Return a future."""

        def make(method: str) -> Callable[..., Future[Any]]:
            def submit(*args: Any, **kwargs: Any) -> Future[Any]:
                return self._new(FutureCall, method, args, kwargs, options).start()

            return submit

        return make

    def awaiting(self, options: CallOptions) -> Make:
        """Return a coroutine."""

        def make(method: str) -> Callable[..., Coroutine[Any, Any, Any]]:
            async def acall(*args: Any, **kwargs: Any) -> Any:
                return await self._new(AsyncCall, method, args, kwargs, options).wait()

            return acall

        return make

    def streaming(self, options: CallOptions) -> Make:
        """Return a stream of the items."""

        def make(method: str) -> Callable[..., ResultStream[Any]]:
            def start(*args: Any, **kwargs: Any) -> ResultStream[Any]:
                return self._new(StreamCall, method, args, kwargs, options).start()

            return start

        return make

    def broadcasting(self, options: CallOptions) -> Make:
        """Call every endpoint that is there."""

        def make(method: str) -> Callable[..., Broadcast[Any]]:
            def start(*args: Any, **kwargs: Any) -> Broadcast[Any]:
                started = []
                for endpoint in self._everybody(method):
                    pending = self._new(FutureCall, method, args, kwargs, options)
                    pending.pin(endpoint)
                    started.append((endpoint, pending.start()))
                return Broadcast(f"{self._actor}.{method}", started)

            return start

        return make

    def _everybody(self, method: str) -> tuple[Endpoint, ...]:
        routes, patience = self._policy.routes, self._policy.resolve_timeout
        try:
            return routes.endpoints(patience)
        except RegistryError:
            pass  # it becomes the cause, without the traceback of our own look
        raise routes.absence.error(f"{self._actor}.{method}", f"{patience:.3g} s (resolve_timeout)")

    def mapping(self, items: Iterable[Any], most: int, options: CallOptions) -> Make:
        """Call with each of `items`, `most` at a time unless the call says otherwise."""

        def make(method: str) -> Callable[..., Iterator[Any]]:
            def start(*args: Any, in_flight: int = most, **kwargs: Any) -> Iterator[Any]:
                def submit(item: Any) -> Future[Any]:
                    return self._new(FutureCall, method, (item, *args), kwargs, options).start()

                return map_calls(submit, items, in_flight)

            return start

        return make

    def _new(
        self,
        kind: type[Call],
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
    ) -> Call:
        body = own(dump_arguments(f"{self._actor}.{method}", args, kwargs))
        return kind(self._policy, self._actor, method, body, options)
