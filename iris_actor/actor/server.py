"""ActorServer: hosts objects, announces them, and serves calls of their methods.

Shutdown order: withdraw the registrations, drain (refuse new calls, finish the accepted ones), stop the
server, close the actors, give the registry back (the last user revokes the lease).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from queue import Empty
from types import FrameType, TracebackType
from typing import Any, Self

from iris_actor import signals
from iris_actor._proto import session_pb2 as pb
from iris_actor.actor.callbacks import run_callback
from iris_actor.actor.description import described
from iris_actor.actor.environment import Environment
from iris_actor.actor.hosted_actor import HostedActor
from iris_actor.actor.slow_calls import SlowCalls
from iris_actor.address import Address
from iris_actor.forked_child import isolate_in_child
from iris_actor.naming import qualify
from iris_actor.registry import connect_registry
from iris_actor.registry.endpoint import ActorId, Endpoint
from iris_actor.registry.registry import Registration, Registry
from iris_actor.rpc.credentials import Credentials
from iris_actor.rpc.incoming_call import IncomingCall
from iris_actor.rpc.limits import Limits
from iris_actor.rpc.outgoing_call import Status
from iris_actor.rpc.server import RpcServer
from iris_actor.threads.fork_guard import ForkGuard
from iris_actor.unpatched import SimpleQueue

_log = logging.getLogger(__name__)


class ActorServer:
    """Hosts actors on one port. Thread-safe; a context manager, also for ``async with``.

    Args:
        registry: where to announce actors: a URL (``etcd://host:2379``) or a Registry. None takes
            ``IRIS_REGISTRY`` inside a job, and announces nothing elsewhere (`FixedResolver` finds such a
            server by its address).
        namespace: namespace of actor names that are not absolute. None takes the job's, and
            ``"default"`` outside a job.
        host: name or address to bind; an IPv6 address with or without brackets, ``::`` or ``0.0.0.0`` for all
            interfaces. Anything but loopback needs credentials, or `insecure`.
        port: port to bind; 0 lets the kernel choose a free one.
        advertise_host: host that callers are told; None takes ``IRIS_ADVERTISE_HOST``, else `host`, and for
            all interfaces this machine's name, or its address if the name leads nowhere.
        credentials: what callers must show.
        insecure: serve beyond loopback without credentials. Whoever can connect can then run code.
        limits: how much to take on.
        drain_timeout: seconds that a signal, or leaving the context, grants to accepted calls.
        slow_call: seconds from which a call that ran for so long is logged as a warning; None logs none.

    Raises:
        InsecureServerError: (a ValueError) for a host beyond loopback without credentials.
        InvalidAddressError: (a ValueError) for a host or port that is none.
        InvalidURLError: (a ValueError) for a registry URL that cannot be understood.
        InvalidNameError: (a ValueError) for a bad namespace.
        ForkedProcessError: in a process forked from one that used iris_actor.

    A child that was forked from its process cannot use it: what would serve, or change what is served, raises
    ForkedProcessError there, and what would end it does nothing.

    What an operator needs is logged by ``iris_actor.*`` loggers: where it serves and what, callers that are
    refused and why (WARNING), draining and its end (INFO), and exceptions of methods (DEBUG). A worker's
    server is told of at DEBUG.

    Inside ``async with``, async methods run on the program's event loop; elsewhere each actor that has
    any gets a loop in a thread of its own.
    """

    def __init__(
        self,
        registry: str | Registry | None = None,
        *,
        namespace: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        advertise_host: str | None = None,
        credentials: Credentials | None = None,
        insecure: bool = False,
        limits: Limits | None = None,
        drain_timeout: float = 30.0,
        slow_call: float | None = None,
    ) -> None:
        environment = Environment.read()
        self.namespace = environment.namespace(namespace)
        self._job_id = str(environment.job_id or "")
        bound = Address(host, port)
        self._advertised = environment.advertised(bound, advertise_host)
        self._rpc = RpcServer(
            self,
            address=bound,
            credentials=credentials,
            insecure=insecure,
            limits=limits or Limits(),
        )
        source = registry if registry is not None else environment.registry
        self._registry: Registry | None = None if source is None else connect_registry(source)
        self._drain_timeout = drain_timeout
        self._slow_calls = SlowCalls(slow_call)
        self._guard = ForkGuard()  # asked before the lock, which the parent may have held at the fork
        self._lock = threading.RLock()  # guards the tables, and the order of start, register and stop
        self._by_id: dict[str, HostedActor] = {}
        self._by_name: dict[str, HostedActor] = {}
        self._metadata: dict[str, Mapping[str, str]] = {}
        self._registrations: dict[str, Registration] = {}
        self._state = "new"
        self._closed = threading.Event()
        # What serve() waits for. Unlike an Event, a SimpleQueue may be used by a signal's handler.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None

    # --- hosting ------------------------------------------------------------------------------------

    def register(
        self,
        name: str,
        actor: Any,
        *,
        max_concurrency: int = 1,
        concurrency_groups: Mapping[str, int] | None = None,
        metadata: Mapping[str, str] | None = None,
        _framework: bool = False,
    ) -> ActorId:
        """Host `actor` under `name`; returns its actor id. On a serving server callers find it at once.

        Args:
            name: actor name (``calculator``, ``rl/curriculum``), or an absolute one (``/other/calculator``).
            actor: any object. Its methods without leading ``_`` can be called; properties cannot, and are
                not evaluated.
            max_concurrency: calls of it that may run at a time. 1 runs them one after the other, in order
                of arrival.
            concurrency_groups: limits of the groups that ``@method(group=...)`` names; 1 for those that
                are not given.
            metadata: strings for whoever looks at the endpoint.

        Raises:
            ValueError: the name is taken on this server or breaks the naming rule; a limit is below 1.
            TypeError: metadata that is no mapping of strings.
            RegistryUnavailableError: the registry cannot be reached. The actor is then not hosted.
            RuntimeError: the server is stopped.
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._guard.check()
        full = qualify(name, self.namespace, framework=_framework)
        groups = dict(concurrency_groups or {})
        for label, limit in {"max_concurrency": max_concurrency, **groups}.items():
            if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
                raise ValueError(f"{label} must be a whole number from 1, got {limit!r}")
        strings = dict(metadata or {})
        if not all(isinstance(text, str) for pair in strings.items() for text in pair):
            raise TypeError(f"metadata must map strings to strings, got {strings!r}")
        with self._lock:
            if self._state == "stopped":
                raise RuntimeError(f"cannot register {full!r}: the server is stopped")
            if full in self._by_name:
                raise ValueError(f"actor name {full!r} is taken on this server")
            actor_id = ActorId(uuid.uuid4().hex[:16])
            hosted = HostedActor(
                full,
                actor_id,
                actor,
                max_concurrency=max_concurrency,
                concurrency_groups=groups,
                loop=self._loop,
                slow_calls=self._slow_calls,
            )
            self._by_id[actor_id] = self._by_name[full] = hosted
            self._metadata[actor_id] = strings
            if self._state == "serving":
                try:
                    self._announce(hosted)
                except BaseException:
                    self._forget(hosted)
                    raise
            serving = self._state == "serving"
        if serving:
            self._tell("serving %s at %s", full, self.address)
        return actor_id

    def unregister(self, name: str) -> None:
        """Withdraw the actor `name` (or of that actor id). Running calls go on, waiting ones go elsewhere.

        Raises:
            KeyError: when there is none.
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._guard.check()
        with self._lock:
            hosted = self._by_id.get(name)
            if hosted is None:
                hosted = self._by_name.get(qualify(name, self.namespace, framework=True))
            if hosted is None:
                raise KeyError(f"no actor {name!r} on this server")
            self._forget(hosted)
        hosted.close(abort=False)

    def _forget(self, hosted: HostedActor) -> None:
        self._by_id.pop(hosted.actor_id, None)
        self._by_name.pop(hosted.name, None)
        self._metadata.pop(hosted.actor_id, None)
        registration = self._registrations.pop(hosted.actor_id, None)
        if registration is not None:
            registration.close()

    def _announce_all(self) -> None:
        # A function of its own, because CPython 3.13.0 leaves the jump back of a loop out of a `try`.
        for hosted in self._by_name.values():
            self._announce(hosted)

    def _announce(self, hosted: HostedActor) -> None:
        if self._registry is None:
            return
        endpoint = Endpoint(
            name=hosted.name,
            actor_id=hosted.actor_id,
            address=self.address,
            job_id=self._job_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            incarnation=self._rpc.incarnation,
            started_at=time.time(),
            metadata=self._metadata[hosted.actor_id],
        )
        self._registrations[hosted.actor_id] = self._registry.register(endpoint)

    # --- serving ------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """``host:port`` that callers are told. Before the server serves, the port may still be 0."""
        return str(Address(self._advertised, self._rpc.port))

    @property
    def in_flight(self) -> int:
        """Calls that are queued or running."""
        return self._rpc.in_flight

    def serve_background(self) -> int:
        """Bind, announce what is registered, and serve in the background; returns the bound port.

        Raises:
            AddressInUseError: (an OSError) the port is taken.
            AddressUnusableError: (an OSError) the address cannot be bound for another reason: it is not this
                machine's, the port is not for this process, there is no such host.
            RegistryUnavailableError: when the registry cannot be reached; nothing is served then.
            RuntimeError: when the server was stopped.
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._guard.check()
        with self._lock:
            if self._state == "serving":
                return self._rpc.port
            if self._state != "new":
                raise RuntimeError("the server is stopped; make a new one")
            port = self._rpc.start()
            self._state = "serving"
            try:
                self._announce_all()
            except BaseException:
                self.stop()
                raise
        self._tell("serving %s at %s", ", ".join(sorted(self._by_name)) or "no actor yet", self.address)
        return port

    def _tell(self, text: str, *args: object) -> None:
        # A pool tells of its own workers and of its monitor, and there may be a thousand of them.
        own = [name.partition("/")[2].startswith("_") for name in list(self._by_name)]
        _log.log(logging.DEBUG if own and all(own) else logging.INFO, text, *args)

    def serve(self) -> None:
        """Serve until the server is stopped. SIGTERM and SIGINT drain and stop it; a second one at once.

        Signals are only handled when this is called in the main thread.

        Raises:
            AddressInUseError, AddressUnusableError, RegistryUnavailableError, RuntimeError,
                ForkedProcessError: as `serve_background`.
        """
        self.serve_background()
        came = 0

        def on_signal(_number: int, _frame: FrameType | None) -> None:
            nonlocal came
            came += 1
            if came > 1:
                threading.Thread(target=self.stop, name="iris-stop", daemon=True).start()
            self._wake.put(None)

        def woken(seconds: float) -> bool:
            with suppress(Empty):
                self._wake.get(timeout=seconds)
            return came > 0 or self._closed.is_set()

        previous: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                previous[number] = signal.signal(number, on_signal)
        try:
            signals.wait(woken, None)
            if not self._closed.is_set():
                self.drain(self._drain_timeout)
                self.stop()
        finally:
            for handled, handler in previous.items():
                signal.signal(handled, handler)

    def drain(self, timeout: float | None = None) -> bool:
        """Withdraw from the registry, refuse new calls, and wait for the accepted ones. Idempotent.

        Args:
            timeout: seconds to wait; None waits as long as it takes.

        Returns:
            Whether every accepted call ended in time.
        """
        if self._guard.forked:  # the calls are the parent's
            return True
        with self._lock:
            if self._state != "serving":
                return True
            registrations = list(self._registrations.values())
            self._registrations.clear()
        for registration in registrations:
            registration.close()
        self._tell("the server at %s drains: %d calls are to end", self.address, self.in_flight)
        drained = self._rpc.drain(timeout)
        if not drained:
            self._tell("after %s s the server at %s has %d calls left", timeout, self.address, self.in_flight)
        return drained

    def stop(self) -> None:
        """Withdraw from the registry and end everything now; callers of unfinished calls get an error.

        Idempotent. Call `drain` before to let accepted calls finish.
        """
        if self._guard.forked:
            return
        with self._lock:
            if self._state == "stopped":
                return
            was_serving = self._state == "serving"
            self._state = "stopped"
            registrations = list(self._registrations.values())
            self._registrations.clear()
            actors = list(self._by_name.values())
        for registration in registrations:
            registration.close()
        left = self._rpc.in_flight
        if was_serving:
            self._rpc.stop()
        for hosted in actors:
            hosted.close(abort=True)
        if self._registry is not None:
            self._registry.close()
        self._closed.set()
        self._wake.put(None)
        if was_serving:
            self._tell("the server at %s has stopped; %d calls were not done", self.address, left)

    async def wait_closed(self) -> None:
        """Return when the server is stopped. SIGTERM drains and stops it meanwhile, in the main thread.

        Raises:
            ForkedProcessError: in a process forked from the one that made this.
        """
        self._guard.check()
        loop = asyncio.get_running_loop()
        terminated = asyncio.Event()
        handles = threading.current_thread() is threading.main_thread()
        if handles:
            loop.add_signal_handler(signal.SIGTERM, terminated.set)
        closed = asyncio.ensure_future(asyncio.to_thread(self._closed.wait))
        waiter = asyncio.ensure_future(terminated.wait())
        try:
            await asyncio.wait([closed, waiter], return_when=asyncio.FIRST_COMPLETED)
            if not self._closed.is_set():
                await asyncio.to_thread(self.drain, self._drain_timeout)
                await asyncio.to_thread(self.stop)
        finally:
            waiter.cancel()
            if handles:
                loop.remove_signal_handler(signal.SIGTERM)
            if not self._closed.is_set():
                # The thread that waits would hold up the end of the program.
                await asyncio.to_thread(self.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if kind is None:
            self.drain(self._drain_timeout)
        self.stop()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        isolate_in_child(self._loop)
        await asyncio.to_thread(self.serve_background)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if not self._guard.forked:  # the threads of the loop's executor are the parent's, too
            await asyncio.to_thread(self.__exit__, kind, error, tb)

    # --- Dispatcher, in the I/O thread ----------------------------------------------------------------

    def dispatch(self, call: IncomingCall) -> None:
        """Hand a call to the actor that it is for. Called by the RPC layer."""
        hosted = self._by_id.get(call.actor_id) if call.actor_id else self._find(call.actor)
        if hosted is None:
            what = f"actor {call.actor!r}" + (f" ({call.actor_id})" if call.actor_id else "")
            known = ", ".join(sorted(self._by_name)) or "none"
            message = f"{what} is not on the server at {self.address} (it hosts: {known})"
            call.send_failure(Status.ACTOR_NOT_FOUND, message, may_have_run=False)
        else:
            hosted.take(call)

    def refused(self, host: str, reason: str) -> None:
        """Tell that a caller was turned away. Called by the RPC layer."""
        # In another thread: a handler of the log is the user's, and may block.
        run_callback(partial(_log.warning, "refused a caller on %s: %s", host, reason))

    def describe(self, actor: str) -> list[pb.ActorDescription]:
        """Describe the hosted actors, or the one that is named. Called by the RPC layer."""
        found = self._find(actor) if actor else None
        hosted_actors = list(self._by_name.values()) if not actor else [found] if found else []
        return [described(hosted) for hosted in hosted_actors]

    def _find(self, name: str) -> HostedActor | None:
        return self._by_name.get(name) or self._by_name.get(f"{self.namespace}/{name}")
