"""ActorPool: the handle on all actors of one name."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, overload

from iris_actor.actor.absence import ask_after
from iris_actor.actor.balancer import Balancer, make_balancer
from iris_actor.actor.broadcast import Broadcast
from iris_actor.actor.endpoint_source import EndpointSource
from iris_actor.actor.mapping import IN_FLIGHT
from iris_actor.actor.methods import Make, Methods, method_name
from iris_actor.actor.options import DEFAULT, CallOptions
from iris_actor.actor.pending_call import CallPolicy
from iris_actor.actor.result_stream import ResultStream
from iris_actor.actor.routes import Routes
from iris_actor.actor.ways_to_call import WaysToCall
from iris_actor.deadline import Deadline, check_timeout
from iris_actor.errors import ActorNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from iris_actor.registry.endpoint import Endpoint

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")
P = ParamSpec("P")
Items = Iterable[R] | AsyncIterable[R] | Coroutine[Any, Any, Iterable[R]]
"""What a method returns whose items are a stream."""
OnFull = Literal["wait", "raise"]


class ActorPool(Generic[T]):
    """Calls actors by name, each call to one of the endpoints (or all of them, with `broadcast`).

    Made by `Resolver.lookup`. Thread-safe, cheap to keep; connections are shared by the whole process.
    Pickles: a copy resolves the name in the same registry.

    Each way to call takes options and gives an object that has the actor's methods::

        pool.call(timeout=5).predict([1.0])      # blocks, returns the value
        pool.submit().predict([1.0])             # a concurrent.futures.Future
        await pool.acall().predict([1.0])        # in asyncio
        for token in pool.stream().tokens("hi"): ...

    Or it takes the method itself. Type checkers then know the arguments and the outcome, also of methods that
    are coroutines or generators::

        pool.submit(Inference.predict)([1.0])    # a Future[list[float]]
        pool.call(Inference.apredict, timeout=5)([1.0])

    Options:
        timeout: seconds until the call is given up on both sides; None (the default) for no limit. A call
            made by an actor's method never outlives the deadline of that method's own call.
        key: what the ``hash`` balancer goes by.
        idempotent: the call may safely run twice, so it is tried again elsewhere (`max_retries` times)
            when its server is lost.

    What calls raise: the method's own exception, with a `RemoteTraceback` as its cause, or a `CallError`:
    see `iris_actor.errors`. Arguments of blocking calls are sent from where they lie; those of `submit`
    and the others are copied first when they are large buffers, so they may be changed at once.
    """

    def __init__(
        self,
        resolver: EndpointSource,
        name: str,
        actor_type: type[T] | None = None,
        *,
        balancer: str | Balancer = "round_robin",
        resolve_timeout: float = 30.0,
        on_full: OnFull = "wait",
        max_retries: int = 3,
        _framework: bool = False,
    ) -> None:
        if on_full not in {"wait", "raise"}:
            raise ValueError(f"on_full must be 'wait' or 'raise', got {on_full!r}")
        if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
            raise ValueError(f"max_retries must be a whole number from 0, got {max_retries!r}")
        if check_timeout(resolve_timeout) is None:
            raise ValueError("resolve_timeout must be a number of seconds, got None")
        self.name = resolver.qualify(name, framework=_framework)
        self._resolver = resolver
        self._actor_type = actor_type
        self._absolute = f"/{self.name}"
        self._settings = {
            "balancer": balancer,
            "resolve_timeout": resolve_timeout,
            "on_full": on_full,
            "max_retries": max_retries,
        }
        self._policy = CallPolicy(
            Routes(resolver, self._absolute, make_balancer(balancer)),
            resolve_timeout=resolve_timeout,
            waits_when_full=on_full == "wait",
            max_retries=max_retries,
        )
        self._ways = WaysToCall(self._policy, self.name)
        self._call = Methods(self.name, actor_type, self._ways.calling(DEFAULT))
        self._submit = Methods(self.name, actor_type, self._ways.submitting(DEFAULT))
        self._acall = Methods(self.name, actor_type, self._ways.awaiting(DEFAULT))

    # --- ways to call -------------------------------------------------------------------------------

    @overload
    def call(
        self, timeout: float | None = None, *, key: str | None = None, idempotent: bool = False
    ) -> T: ...

    @overload
    def call(
        self,
        method: Callable[Concatenate[T, P], Coroutine[Any, Any, R]],
        /,
        *,
        timeout: float | None = None,
        key: str | None = None,
        idempotent: bool = False,
    ) -> Callable[P, R]: ...

    @overload
    def call(
        self,
        method: Callable[Concatenate[T, P], R],
        /,
        *,
        timeout: float | None = None,
        key: str | None = None,
        idempotent: bool = False,
    ) -> Callable[P, R]: ...

    def call(
        self,
        *method: Any,
        timeout: float | None = None,
        key: str | None = None,
        idempotent: bool = False,
    ) -> Any:
        """Methods that block and return the value."""
        if not method and timeout is None and key is None and not idempotent:
            return self._call
        return self._methods(self._ways.calling, method, timeout, key, idempotent=idempotent)

    @overload
    def submit(
        self, timeout: float | None = None, *, key: str | None = None, idempotent: bool = False
    ) -> Any: ...

    @overload
    def submit(
        self,
        method: Callable[Concatenate[T, P], Coroutine[Any, Any, R]],
        /,
        *,
        timeout: float | None = None,
        key: str | None = None,
        idempotent: bool = False,
    ) -> Callable[P, Future[R]]: ...

    @overload
    def submit(
        self,
        method: Callable[Concatenate[T, P], R],
        /,
        *,
        timeout: float | None = None,
        key: str | None = None,
        idempotent: bool = False,
    ) -> Callable[P, Future[R]]: ...

    def submit(
        self,
        *method: Any,
        timeout: float | None = None,
        key: str | None = None,
        idempotent: bool = False,
    ) -> Any:
        """Methods that return a `concurrent.futures.Future`; cancelling it cancels the call."""
        if not method and timeout is None and key is None and not idempotent:
            return self._submit
        return self._methods(self._ways.submitting, method, timeout, key, idempotent=idempotent)

    @overload
    def acall(
        self, timeout: float | None = None, *, key: str | None = None, idempotent: bool = False
    ) -> Any: ...

    @overload
    def acall(
        self,
        method: Callable[Concatenate[T, P], Coroutine[Any, Any, R]],
        /,
        *,
        timeout: float | None = None,
        key: str | None = None,
        idempotent: bool = False,
    ) -> Callable[P, Coroutine[Any, Any, R]]: ...

    @overload
    def acall(
        self,
        method: Callable[Concatenate[T, P], R],
        /,
        *,
        timeout: float | None = None,
        key: str | None = None,
        idempotent: bool = False,
    ) -> Callable[P, Coroutine[Any, Any, R]]: ...

    def acall(
        self,
        *method: Any,
        timeout: float | None = None,
        key: str | None = None,
        idempotent: bool = False,
    ) -> Any:
        """Methods that return a coroutine; cancelling its task cancels the call."""
        if not method and timeout is None and key is None and not idempotent:
            return self._acall
        return self._methods(self._ways.awaiting, method, timeout, key, idempotent=idempotent)

    @overload
    def stream(self, timeout: float | None = None, *, key: str | None = None) -> Any: ...

    @overload
    def stream(
        self,
        method: Callable[Concatenate[T, P], Items[R]],
        /,
        *,
        timeout: float | None = None,
        key: str | None = None,
    ) -> Callable[P, ResultStream[R]]: ...

    def stream(self, *method: Any, timeout: float | None = None, key: str | None = None) -> Any:
        """Methods that return a `ResultStream` of what a generator method yields."""
        return self._methods(self._ways.streaming, method, timeout, key)

    @overload
    def broadcast(self) -> Any: ...

    @overload
    def broadcast(
        self, method: Callable[Concatenate[T, P], Coroutine[Any, Any, R]], /
    ) -> Callable[P, Broadcast[R]]: ...

    @overload
    def broadcast(self, method: Callable[Concatenate[T, P], R], /) -> Callable[P, Broadcast[R]]: ...

    def broadcast(self, *method: Any) -> Any:
        """Methods that call every endpoint that is there now and return a `Broadcast`.

        Right after `lookup` they wait for the registry's first listing, so in a coroutine they belong into
        `asyncio.to_thread`; they raise ActorNotFoundError when it does not come within `resolve_timeout`.
        """
        return self._methods(self._ways.broadcasting, method, None, None)

    @overload
    def map(
        self,
        items: Iterable[Any],
        /,
        *,
        timeout: float | None = None,
        key: str | None = None,
        idempotent: bool = False,
    ) -> Any: ...

    @overload
    def map(
        self,
        method: Callable[Concatenate[T, A, P], Coroutine[Any, Any, R]],
        items: Iterable[A],
        /,
        *,
        in_flight: int = IN_FLIGHT,
        timeout: float | None = None,
        key: str | None = None,
        idempotent: bool = False,
    ) -> Callable[P, Iterator[R]]: ...

    @overload
    def map(
        self,
        method: Callable[Concatenate[T, A, P], R],
        items: Iterable[A],
        /,
        *,
        in_flight: int = IN_FLIGHT,
        timeout: float | None = None,
        key: str | None = None,
        idempotent: bool = False,
    ) -> Callable[P, Iterator[R]]: ...

    def map(
        self,
        *method_and_items: Any,
        in_flight: int = IN_FLIGHT,
        timeout: float | None = None,
        key: str | None = None,
        idempotent: bool = False,
    ) -> Any:
        """Methods that are called with each of `items` and return an iterator of the results, in order.

        ``pool.map(items).score(scale=2)`` or, by reference, ``pool.map(Model.score, items)(scale=2)``.
        Arguments beside the item go with every call. `in_flight` is the number of calls under way at a time;
        a method by name takes it as well: ``pool.map(items).score(in_flight=8)``. `items` is read only as
        far as needed. `timeout` is for each call. An exception of a call is raised where its result would
        stand, and ends the iteration; leaving the iteration early cancels what is under way.
        """
        if not 1 <= len(method_and_items) <= 2:
            raise TypeError(
                "map takes the items, and before them the method where that is given by reference"
            )
        *method, items = method_and_items
        way = partial(self._ways.mapping, items, in_flight)
        return self._methods(way, tuple(method), timeout, key, idempotent=idempotent)

    # --- who is there -------------------------------------------------------------------------------

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints that are there now. Right after `lookup` it waits for the registry's first listing.

        Raises:
            RegistryUnavailableError: that did not come within `resolve_timeout`.
            RegistryError: the registry refuses, or is closed.
        """
        return self._policy.routes.endpoints(self._policy.resolve_timeout)

    @property
    def size(self) -> int:
        """How many endpoints are there now. Waits, and raises, as `endpoints` does."""
        return len(self.endpoints())

    def wait_for_size(self, size: int, timeout: float | None = None) -> None:
        """Block until at least `size` endpoints are there.

        Args:
            size: how many; 0 waits for the registry's first listing.
            timeout: seconds to wait; None for no limit.

        Raises:
            ActorNotFoundError: (a LookupError) when the timeout passed before. It says what is known: a
                registry that does not answer is its cause.
        """
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise ValueError(f"size must be a whole number from 0, got {size!r}")
        deadline = Deadline.of(check_timeout(timeout))
        early = Deadline.after(ask_after(deadline.remaining))
        if self._resolver.wait_for(self._absolute, size, early):
            return
        routes = self._policy.routes
        routes.absence.look()
        if self._resolver.wait_for(self._absolute, size, deadline):
            return
        known = routes.known()
        if known:
            raise ActorNotFoundError.of(self.name, f"{len(known)} of {size} endpoints after {timeout} s")
        raise routes.absence.error(self.name, f"{timeout} s (timeout)")

    # --- inside -------------------------------------------------------------------------------------

    def _methods(
        self,
        way: Callable[[CallOptions], Make],
        given: tuple[Any, ...],
        timeout: float | None,
        key: str | None,
        *,
        idempotent: bool = False,
    ) -> Any:
        """The methods in one way to call; the one method, where it is given by reference.

        A timeout may stand in its place: ``pool.call(5)``.
        """
        first = given[0] if given else None
        if given and not callable(first):
            if timeout is not None:
                raise TypeError(f"the timeout is given twice: {first!r} and {timeout!r}")
            timeout, first = first, None
        make = way(CallOptions(timeout, key, idempotent))
        if first is None:
            return Methods(self.name, self._actor_type, make)
        return make(method_name(self.name, self._actor_type, first))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._resolver, self._absolute, self._actor_type, self._settings)

    def __repr__(self) -> str:
        known = self._policy.routes.known()  # who prints it must not wait
        there = "endpoints not known yet" if known is None else f"{len(known)} endpoints"
        return f"ActorPool({self.name!r}, {there})"


def _rebuild(resolver: Any, name: str, actor_type: Any, settings: dict[str, Any]) -> ActorPool[Any]:
    return ActorPool(resolver, name, actor_type, _framework=True, **settings)
