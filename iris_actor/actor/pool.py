"""ActorPool: the handle on all actors of one name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from iris_actor.actor.balancer import Balancer, make_balancer
from iris_actor.actor.blocking_call import BlockingCall
from iris_actor.actor.broadcast import Broadcast
from iris_actor.actor.endpoint_source import EndpointSource
from iris_actor.actor.future_call import AsyncCall, FutureCall
from iris_actor.actor.mapping import map_calls
from iris_actor.actor.options import DEFAULT, CallOptions
from iris_actor.actor.pending_call import CallPolicy, PendingCall
from iris_actor.actor.result_stream import ResultStream, StreamCall
from iris_actor.actor.routes import Routes
from iris_actor.codec import dump_arguments
from iris_actor.deadline import Deadline, check_timeout
from iris_actor.errors import ActorNotFoundError, MethodNotFoundError
from iris_actor.rpc.buffers import own

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator
    from concurrent.futures import Future

    from iris_actor.registry.endpoint import Endpoint

T = TypeVar("T")
OnFull = Literal["wait", "raise"]
P = TypeVar("P", bound=PendingCall)


class Methods:
    """Gives a callable for each public method name; made by ActorPool, kept by nobody."""

    def __init__(self, pool: ActorPool[Any], make: Callable[[str], Callable[..., Any]]) -> None:
        self._pool = pool
        self._make = make

    def __getattr__(self, name: str) -> Callable[..., Any]:
        self._pool.check_method(name)
        function = self._make(name)
        self.__dict__[name] = function  # the next look-up does not come here
        return function

    def __repr__(self) -> str:
        return f"<methods of {self._pool.name}>"


class ActorPool(Generic[T]):
    """Calls actors by name, each call to one of the endpoints (or all of them, with `broadcast`).

    Made by `Resolver.lookup`. Thread-safe, cheap to keep; connections are shared by the whole process.
    Pickles: a copy resolves the name in the same registry.

    Each way to call takes options and gives an object that has the actor's methods::

        pool.call(timeout=5).predict([1.0])      # blocks, returns the value
        pool.submit().predict([1.0])             # a concurrent.futures.Future
        await pool.acall().predict([1.0])        # in asyncio
        for token in pool.stream().tokens("hi"): ...

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
        self._call = self._call_methods(DEFAULT)
        self._submit = self._submit_methods(DEFAULT)
        self._acall = self._acall_methods(DEFAULT)

    # --- ways to call -------------------------------------------------------------------------------

    def call(self, timeout: float | None = None, *, key: str | None = None, idempotent: bool = False) -> T:
        """Methods that block and return the value."""
        if timeout is None and key is None and not idempotent:
            return cast("T", self._call)
        return cast("T", self._call_methods(CallOptions(timeout, key, idempotent)))

    def submit(
        self, timeout: float | None = None, *, key: str | None = None, idempotent: bool = False
    ) -> Any:
        """Methods that return a `concurrent.futures.Future`; cancelling it cancels the call."""
        if timeout is None and key is None and not idempotent:
            return self._submit
        return self._submit_methods(CallOptions(timeout, key, idempotent))

    def acall(self, timeout: float | None = None, *, key: str | None = None, idempotent: bool = False) -> Any:
        """Methods that return a coroutine; cancelling its task cancels the call."""
        if timeout is None and key is None and not idempotent:
            return self._acall
        return self._acall_methods(CallOptions(timeout, key, idempotent))

    def stream(self, timeout: float | None = None, *, key: str | None = None) -> Any:
        """Methods that return a `ResultStream` of what a generator method yields."""
        options = CallOptions(timeout, key)

        def make(method: str) -> Callable[..., ResultStream]:
            def start(*args: Any, **kwargs: Any) -> ResultStream:
                return self._new(StreamCall, method, args, kwargs, options).start()

            return start

        return Methods(self, make)

    def broadcast(self) -> Any:
        """Methods that call every endpoint that is there now and return a `Broadcast`."""

        def make(method: str) -> Callable[..., Broadcast]:
            def start(*args: Any, **kwargs: Any) -> Broadcast:
                started = []
                for endpoint in self.endpoints():
                    pending = self._new(FutureCall, method, args, kwargs, DEFAULT)
                    pending.pin(endpoint)
                    started.append((endpoint, pending.start()))
                return Broadcast(f"{self.name}.{method}", started)

            return start

        return Methods(self, make)

    def map(
        self,
        items: Iterable[Any],
        *,
        timeout: float | None = None,
        key: str | None = None,
        idempotent: bool = False,
    ) -> Any:
        """Methods that are called with each of `items` and return an iterator of the results, in order.

        The methods take ``in_flight=8``, the number of calls under way at a time, and keyword arguments
        that go with every call. `items` is read only as far as needed. `timeout` is for each call. An
        exception of a call is raised where its result would stand, and ends the iteration; leaving the
        iteration early cancels what is under way.
        """
        options = CallOptions(timeout, key, idempotent)

        def make(method: str) -> Callable[..., Iterator[Any]]:
            def start(*, in_flight: int = 8, **kwargs: Any) -> Iterator[Any]:
                def submit(item: Any) -> Future[Any]:
                    return self._new(FutureCall, method, (item,), kwargs, options).start()

                return map_calls(submit, items, in_flight)

            return start

        return Methods(self, make)

    # --- who is there -------------------------------------------------------------------------------

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints that are known now."""
        return self._policy.routes.endpoints()

    @property
    def size(self) -> int:
        """How many endpoints are known now."""
        return len(self.endpoints())

    def wait_for_size(self, size: int, timeout: float | None = None) -> None:
        """Block until at least `size` endpoints are known.

        Raises:
            ActorNotFoundError: (a LookupError) when `timeout` seconds passed before.
        """
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise ValueError(f"size must be a whole number from 0, got {size!r}")
        if not self._resolver.wait_for(self._absolute, size, Deadline.of(check_timeout(timeout))):
            raise ActorNotFoundError.of(self.name, f"{self.size} of {size} endpoints after {timeout} s")

    def check_method(self, name: str) -> None:
        """Refuse a name that cannot be a method, before anything is sent.

        Raises:
            MethodNotFoundError: (an AttributeError).
        """
        if name.startswith("_"):
            raise MethodNotFoundError.of(self.name, f"{name!r} is private and cannot be called")
        if self._actor_type is not None and not hasattr(self._actor_type, name):
            message = f"{self._actor_type.__name__} has no method {name!r}"
            raise MethodNotFoundError.of(self.name, message)

    # --- inside -------------------------------------------------------------------------------------

    def _new(
        self,
        kind: type[P],
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
    ) -> P:
        body = own(dump_arguments(f"{self.name}.{method}", args, kwargs))
        return kind(self._policy, self.name, method, body, options)

    def _call_methods(self, options: CallOptions) -> Methods:
        def make(method: str) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                body = dump_arguments(f"{self.name}.{method}", args, kwargs)
                return BlockingCall(self._policy, self.name, method, body, options).wait()

            return call

        return Methods(self, make)

    def _submit_methods(self, options: CallOptions) -> Methods:
        def make(method: str) -> Callable[..., Future[Any]]:
            def submit(*args: Any, **kwargs: Any) -> Future[Any]:
                return self._new(FutureCall, method, args, kwargs, options).start()

            return submit

        return Methods(self, make)

    def _acall_methods(self, options: CallOptions) -> Methods:
        def make(method: str) -> Callable[..., Coroutine[Any, Any, Any]]:
            async def acall(*args: Any, **kwargs: Any) -> Any:
                return await self._new(AsyncCall, method, args, kwargs, options).wait()

            return acall

        return Methods(self, make)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._resolver, self._absolute, self._actor_type, self._settings)

    def __repr__(self) -> str:
        return f"ActorPool({self.name!r}, {self.size} endpoints)"


def _rebuild(resolver: Any, name: str, actor_type: Any, settings: dict[str, Any]) -> ActorPool[Any]:
    return ActorPool(resolver, name, actor_type, _framework=True, **settings)
