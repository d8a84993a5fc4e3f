"""PendingCall: a call that finds its way to an endpoint, and another way when that one fails.

What may be tried again is decided by the outcome of an attempt alone (`errors`): a call that no server
received goes elsewhere, always; one whose server was lost goes elsewhere only if it is idempotent; what a
method raises is final, whatever its class.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from iris_actor.actor.absence import ask_after
from iris_actor.actor.context import ServedCall, current_call, trace_context
from iris_actor.actor.options import CallOptions
from iris_actor.actor.routes import Routes
from iris_actor.codec import EMPTY, Body
from iris_actor.deadline import Deadline
from iris_actor.errors import (
    ActorNotFoundError,
    AuthenticationError,
    BackpressureError,
    CallCancelledError,
    CallError,
    ConnectionLostError,
    DeadlineExceededError,
    ProtocolError,
    ServerUnavailableError,
)
from iris_actor.registry.endpoint import Endpoint
from iris_actor.retry import Backoff
from iris_actor.rpc.client_session import ClientSession
from iris_actor.rpc.io_thread import io_thread, is_forked
from iris_actor.rpc.outgoing_call import OutgoingCall

_AT_DEADLINE = 0.1
"""Seconds before a deadline in which a cancel says that it has passed: a caller that gives up at its deadline
sends one, and its clock began to run before ours."""
_AGAIN = Backoff(first=0.02, most=1.0)
_MOST_REFUSALS = 3
"""Servers that may refuse the caller, or be none of ours, before a call gives up though there are others."""


class CallPolicy:
    """What the calls of one pool have in common.

    Attributes:
        routes: where they can go.
        resolve_timeout: seconds for which a call looks for an endpoint that takes it.
        waits_when_full: whether a call waits for room, or fails with BackpressureError.
        max_retries: how often an idempotent call whose server was lost is tried again.
    """

    __slots__ = ("max_retries", "resolve_timeout", "routes", "waits_when_full")

    def __init__(
        self, routes: Routes, *, resolve_timeout: float, waits_when_full: bool, max_retries: int
    ) -> None:
        self.routes = routes
        self.resolve_timeout = resolve_timeout
        self.waits_when_full = waits_when_full
        self.max_retries = max_retries


class PendingCall(OutgoingCall):
    """A call on its way. Subclasses take the outcome: `_returned`, `_raised` or `_failed`, once.

    Args:
        policy: of the pool.
        actor: full name.
        method: method name.
        body: its arguments.
        options: the caller's.
    """

    _looks = 0  # for an endpoint that takes it, since the search began
    _retries = 0  # after its server was lost
    _refusals = 0  # by servers that do not fit
    _over = False
    _pinned: Endpoint | None = None
    _endpoint: Endpoint | None = None
    _session: ClientSession | None = None
    _error: CallError | None = None
    _looking_until: Deadline | None = None
    _ask_at = 0.0  # when it is asked what there is instead
    _retry_timer: asyncio.TimerHandle | None = None
    _deadline_timer: asyncio.TimerHandle | None = None
    _unsubscribe: Callable[[], None] | None = None
    _served: ServedCall | None = None
    """The call with which this one ends, because its method makes it."""
    _given_up = False
    _full: ClientSession | None = None
    """Where it waits for room, if a method makes it."""

    def __init__(self, policy: CallPolicy, actor: str, method: str, body: Body, options: CallOptions) -> None:
        self.actor = actor
        self.method = method
        self.body = body
        self._policy = policy
        self._options = options
        context = current_call()
        if context is not None:
            self.deadline = options.deadline(self.target, context)
            self.chain = context.chain
            self._served = served = context.ends_calls()
            if served is not None and served.cancelled:
                raise self._cancellation()
        elif options.timeout is not None:
            self.deadline = Deadline.after(options.timeout)
        trace = trace_context.get()
        if trace is not None:
            self.trace = _strings(trace)

    def pin(self, endpoint: Endpoint) -> None:
        """Let only `endpoint` take the call. Before it is launched."""
        self._pinned = endpoint

    # --- what the caller does, in any thread --------------------------------------------------------

    def launch(self, *, timed: bool) -> None:
        """Send the call, waiting for room if its server is full.

        Args:
            timed: whether the call ends itself at its deadline; else whoever waits for it does.

        Raises:
            BackpressureError: the server is full, and the pool does not wait for room.
            DeadlineExceededError: the deadline passed while waiting for room.
        """
        if self._served is not None:
            self._watch_served(self._served)
        if timed and self.deadline is not None:
            io_thread().call_soon(self._start_deadline)
        choice = self._choose()
        if choice is not None and choice[1].full:
            self._make_room(*choice)
        self._go(choice)

    async def launch_async(self) -> None:
        """As `launch(timed=True)`, without blocking the event loop."""
        if self._served is not None:
            self._watch_served(self._served)
        if self.deadline is not None:
            io_thread().call_soon(self._start_deadline)
        choice = self._choose()
        if choice is not None and choice[1].full:
            self._check_may_wait(*choice)
            deadline = self.deadline or Deadline.of(None)
            if not await choice[1].wait_capacity_async(deadline, self._has_given_up):
                raise self._too_late("waiting for room", may_have_run=False)
        self._go(choice)

    def abandon(self) -> None:
        """The caller gave up: cancel the call wherever it is. Nothing is reported any more."""
        self._over = True
        if is_forked():  # the call is the parent's
            return
        session = self._session
        if session is not None:
            session.cancel(self)
        if self._served is not None:
            self._served.unwatch(self)
        io_thread().call_soon(self._clean_up)

    # --- the call whose method makes it ---------------------------------------------------------------

    def _watch_served(self, served: ServedCall) -> None:
        served.watch(self)
        if served.cancelled:  # while it was about to watch
            io_thread().call_soon(self.served_call_cancelled)

    def served_call_cancelled(self) -> None:
        """Nobody waits any more for the method that makes this call. In the I/O thread."""
        if not self._over:
            self._given_up = True
            deadline = self.deadline
            if deadline is not None and deadline.remaining < _AT_DEADLINE:
                error: CallError = self._too_late("it", may_have_run=self._session is not None)
            else:
                error = self._cancellation()
            self.abandon()
            self._failed(error)
            if self._full is not None:
                self._full.wake()

    def _cancellation(self) -> CallCancelledError:
        message = "the call that makes this one was cancelled"
        return CallCancelledError.of(self.target, message, may_have_run=self._session is not None)

    def _has_given_up(self) -> bool:
        return self._given_up

    # --- attempts -----------------------------------------------------------------------------------

    def _choose(self) -> tuple[Endpoint, ClientSession] | None:
        pinned = self._pinned
        if pinned is not None:
            return pinned, self._policy.routes.session(pinned)
        return self._policy.routes.choose(self._options.key)

    def _check_may_wait(self, endpoint: Endpoint, session: ClientSession) -> None:
        self._endpoint = endpoint
        if not self._policy.waits_when_full:
            self._over = True
            message = f"{session.in_flight} calls are in flight to {session.address}"
            raise BackpressureError.of(self.target, message)

    def _make_room(self, endpoint: Endpoint, session: ClientSession) -> None:
        self._check_may_wait(endpoint, session)
        if self._served is not None:
            self._full = session
        if not session.wait_capacity(self.deadline or Deadline.of(None), self._has_given_up):
            self._over = True
            raise self._too_late("waiting for room", may_have_run=False)

    def _go(self, choice: tuple[Endpoint, ClientSession] | None) -> None:
        if self._over:
            return
        if choice is None:
            self._look()
            return
        self._endpoint, self._session = choice
        self.actor_id = choice[0].actor_id
        try:
            choice[1].start(self)
        except BackpressureError as error:  # others took the room meanwhile
            self.failed(error)
        else:
            if self._over:  # abandoned while it was being started
                choice[1].cancel(self)

    def _look(self) -> None:
        """Nobody can take the call now: wait for a change, or for an endpoint that was set aside."""
        io_thread().call_soon(self._look_on)

    def _look_on(self) -> None:
        if self._over or self._session is not None:  # a change of the registry came first
            return
        if isinstance(self._error, BackpressureError):
            self._looking_until = Deadline.of(None)  # somebody is there, and has no room yet
        elif self._looking_until is None or self._looking_until == Deadline.of(None):
            self._begin_looking()
        assert self._looking_until is not None  # noqa: S101 - it was just set
        if self._looking_until.passed:
            self._give_up_looking()
            return
        if self._unsubscribe is None and self._pinned is None:
            self._unsubscribe = self._policy.routes.on_change(lambda: io_thread().call_soon(self._relaunch))
        delay = _AGAIN.delay(self._looks) if self._error else self._policy.routes.next_return()
        self._looks += 1
        if self._endpoint is None:
            ahead = self._ask_at - time.monotonic()
            if ahead > 0:
                delay = min(delay, ahead)
            else:
                self._policy.routes.absence.look()
        self._retry_later(min(max(delay, 0.01), self._looking_until.remaining + 0.001))

    def _begin_looking(self) -> None:
        patience = self._policy.resolve_timeout
        self._looking_until = Deadline.after(patience)
        self._looks = 0
        if self.deadline is not None:
            patience = min(patience, self.deadline.remaining)
        self._ask_at = time.monotonic() + ask_after(patience)

    def _retry_later(self, delay: float) -> None:
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        self._retry_timer = io_thread().loop.call_later(delay, self._relaunch)

    def _relaunch(self) -> None:
        if self._retry_timer is not None:
            self._retry_timer.cancel()
            self._retry_timer = None
        elif self._session is not None:
            return  # it is with a server: a change of the registry came late
        if not self._over:
            self._session = None
            try:
                choice = self._choose()
                if choice is not None and self._unsubscribe is not None:
                    self._unsubscribe()
                    self._unsubscribe = None
                self._go(choice)
            except BaseException as error:  # a balancer's, or a closed resolver's
                self._settle()
                self._failed(error)

    def _give_up_looking(self) -> None:
        waited = f"{self._policy.resolve_timeout:.3g} s (resolve_timeout)"
        routes = self._policy.routes
        error = self._error
        if error is not None:
            error = type(error).of(self.target, f"{_without_target(error)}; tried for {waited}")
        elif routes.set_aside:
            error = ServerUnavailableError.of(self.target, f"{routes.set_aside}; waited {waited}")
        else:
            error = routes.absence.error(self.target, waited)
        self._settle()
        self._failed(error)

    # --- outcomes, from the session -----------------------------------------------------------------

    def returned(self, body: Body) -> None:
        if not self._over:
            self._policy.routes.succeeded(self._endpoint)  # type: ignore[arg-type]
            self._settle()
            self._returned(body)

    def raised(self, body: Body) -> None:
        if not self._over:
            self._policy.routes.succeeded(self._endpoint)  # type: ignore[arg-type]
            self._settle()
            self._raised(body)

    def failed(self, error: CallError) -> None:
        if self._over:
            return
        if self._try_again(error):
            self._session = None
            self.transfer = None
            self.arriving = ()
            self._look()
        else:
            self._settle()
            self._failed(error)

    def _try_again(self, error: CallError) -> bool:
        policy = self._policy
        self._error = error
        if isinstance(error, BackpressureError):
            return policy.waits_when_full
        if isinstance(error, ConnectionLostError):
            policy.routes.failed(self._endpoint, _without_target(error))  # type: ignore[arg-type]
            if not self._options.idempotent or self._retries >= policy.max_retries:
                return False
            self._retries += 1
            self._looking_until = None  # it was received: a new search begins
        elif isinstance(error, ServerUnavailableError | ActorNotFoundError) and not error.may_have_run:
            policy.routes.failed(self._endpoint, _without_target(error))  # type: ignore[arg-type]
        elif isinstance(error, AuthenticationError | ProtocolError) and not error.may_have_run:
            # No attempt mends it, but one of several servers may be wrong: TLS on some of them, or a stranger
            # on the port of one that is gone.
            self._refusals += 1
            if self._pinned is not None or self._refusals > _MOST_REFUSALS:
                return False
            return policy.routes.pass_over(self._endpoint, _without_target(error))  # type: ignore[arg-type]
        else:
            return False
        return self._pinned is None

    # --- the end ------------------------------------------------------------------------------------

    def _start_deadline(self) -> None:
        deadline = self.deadline
        if not self._over and deadline is not None:
            self._deadline_timer = io_thread().loop.call_later(deadline.remaining, self._expire)

    def _expire(self) -> None:
        if not self._over:
            error = self.late()
            self.abandon()
            self._failed(error)

    def _too_late(self, doing: str, *, may_have_run: bool) -> DeadlineExceededError:
        timeout = self._options.timeout
        given = f"timeout {timeout:g} s" if timeout is not None else "inherited from the calling method"
        message = f"the deadline ({given}) passed"
        if doing:
            message += f" while {doing}"
        if self._error is not None:
            message += f"; the last attempt: {_without_target(self._error)}"
        return DeadlineExceededError.of(self.target, message, may_have_run=may_have_run)

    def late(self) -> CallError:
        """The error for a caller whose own wait ended at the deadline."""
        if self._endpoint is not None:
            return self._too_late("", may_have_run=self._session is not None)
        routes, timeout = self._policy.routes, self._options.timeout
        if routes.set_aside:
            return self._too_late(f"waiting, as {routes.set_aside}", may_have_run=False)
        waited = "until the calling method's deadline" if timeout is None else f"{timeout:.3g} s (timeout)"
        return routes.absence.error(self.target, waited)

    def _settle(self) -> None:
        self._over = True
        self.body = EMPTY  # the arguments are not needed any more, and may be large
        if self._served is not None:
            self._served.unwatch(self)
        if self._deadline_timer or self._retry_timer or self._unsubscribe:
            io_thread().call_soon(self._clean_up)

    def _clean_up(self) -> None:
        for timer in (self._deadline_timer, self._retry_timer):
            if timer is not None:
                timer.cancel()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def _returned(self, body: Body) -> None:
        raise NotImplementedError

    def _raised(self, body: Body) -> None:
        raise NotImplementedError

    def _failed(self, error: BaseException) -> None:
        raise NotImplementedError


def _strings(trace: Mapping[str, str]) -> dict[str, str]:
    """A copy of what travels as trace context, looked at here: on its way it would fail others as well."""
    strings = dict(trace)
    for text in (*strings, *strings.values()):
        if not isinstance(text, str):
            raise TypeError(f"trace_context must map strings to strings, got {strings!r}")
        text.encode()  # a lone surrogate cannot be sent
    return strings


def _without_target(error: CallError) -> str:
    return str(error).removeprefix(f"{error.target}: ")
