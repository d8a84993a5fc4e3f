"""WorkerLink: the driver's way to one incarnation of one worker."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from iris_actor.actor.pool import ActorPool
from iris_actor.actor.resolve_result import ResolveResult
from iris_actor.actor.resolver import Resolver
from iris_actor.registry.endpoint import Endpoint
from iris_actor.rpc.credentials import Credentials
from iris_actor.work.worker.worker import Worker
from iris_actor.work.worker.worker_settings import Settings


class _OneEndpoint(Resolver):
    """Knows a single endpoint: a replacement of the worker under the same name is not the same worker."""

    def __init__(self, endpoint: Endpoint, credentials: Credentials | None) -> None:
        self.namespace = endpoint.namespace
        self.credentials = credentials
        self._result = ResolveResult(endpoint.name, (endpoint,), 0)

    def resolve(self, name: str) -> ResolveResult:  # noqa: ARG002
        return self._result

    known = resolve

    def list(self, prefix: str = "", *, timeout: float | None = 5.0) -> list[str]:  # noqa: ARG002
        return [self._result.name]

    def subscribe(self, name: str, on_change: Callable[[], None]) -> Callable[[], None]:  # noqa: ARG002
        return lambda: None

    def wait_synced(self, name: str, timeout: float | None = None) -> bool:  # noqa: ARG002
        return True


class WorkerLink:
    """Calls of one worker's methods. Thread-safe.

    Callbacks run in the thread of done callbacks, in the order of the replies; after `close` they run no
    more.

    Attributes:
        batches: how many batches the worker has not completed; guarded by the pool's lock.
        defining: number of the batch whose definitions are on their way; 0 for none. They may be large, and
            small messages may overtake them, so there are none meanwhile. Guarded by the pool's lock.
        error: why the link is of no more use; guarded by the pool's lock.
        settings: those of the driver that the worker has; set by whoever has the turn to feed it.
        known: functions that the worker has; added to by whoever has the turn to feed it.
        to_forget: functions that the worker still has, though nobody will refer to them again.
    """

    def __init__(self, endpoint: Endpoint, credentials: Credentials | None) -> None:
        resolver = _OneEndpoint(endpoint, credentials)
        self._pool: ActorPool[Worker] = resolver.lookup(
            f"/{endpoint.name}", Worker, resolve_timeout=10.0, _framework=True
        )
        self._lock = threading.Lock()  # guards the two below
        self._calls: set[Future[Any]] = set()
        self._closed = False
        self.pid = endpoint.pid
        self.host = endpoint.host
        self.batches = 0
        self.defining = 0
        self.error: BaseException | None = None
        self.settings: Settings | None = None
        self.known: set[int] = set()
        self.to_forget: list[int] = []

    def run(
        self,
        batch_id: int,
        definitions: Sequence[Any],
        forgotten: Sequence[int],
        tasks: Sequence[Any],
        settings: Settings,
        on_reply: Callable[[Future[Any]], None],
    ) -> None:
        """Send a batch, and `settings` unless the worker has them; see `Worker.run`."""
        news = None if settings is self.settings else tuple(settings)
        self.settings = settings
        self._call(on_reply, "run", batch_id, definitions, forgotten, tasks, news)

    def more(self, batch_id: int, on_reply: Callable[[Future[Any]], None]) -> None:
        """Ask for the rest of a batch; see `Worker.more`."""
        self._call(on_reply, "more", batch_id)

    def withdraw(self, on_reply: Callable[[Future[Any]], None]) -> None:
        """Ask for tasks back; see `Worker.withdraw`."""
        self._call(on_reply, "withdraw")

    def stop(self, seq: int, drop: bool, on_reply: Callable[[Future[Any]], None]) -> None:
        """Tell a task to stop; see `Worker.stop`."""
        self._call(on_reply, "stop", seq, drop)

    def _call(self, on_reply: Callable[[Future[Any]], None], method: str, *args: Any) -> None:
        def done(call: Future[Any]) -> None:
            with self._lock:
                self._calls.discard(call)
                closed = self._closed
            if not closed:
                on_reply(call)

        # An empty context: a batch must not inherit the deadline of whichever call happens to submit.
        call = contextvars.Context().run(self._submit, method, args)
        with self._lock:
            closed = self._closed
            if not closed:
                self._calls.add(call)
        if closed:
            call.cancel()
        else:
            call.add_done_callback(done)

    def _submit(self, method: str, args: tuple[Any, ...]) -> Future[Any]:
        future: Future[Any] = getattr(self._pool.submit(), method)(*args)
        return future

    def close(self) -> None:
        """Forget the worker: calls on their way are cancelled. Idempotent."""
        with self._lock:
            self._closed = True
            calls, self._calls = self._calls, set()
        for call in calls:
            call.cancel()
