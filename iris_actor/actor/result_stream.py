"""ResultStream: the items that a generator method yields, as they come."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from iris_actor.actor.pending_call import PendingCall
from iris_actor.codec import Body, load_exception, load_result
from iris_actor.deadline import Deadline
from iris_actor.errors import CallError
from iris_actor.rpc.limits import STREAM_CREDIT
from iris_actor.rpc.waiters import Waiters

R = TypeVar("R")
_END = "end"


class StreamCall(PendingCall):
    """The call behind a ResultStream: collects items until they are taken."""

    credit = STREAM_CREDIT
    _begun = False
    _taken = 0

    def start(self) -> ResultStream[Any]:
        """Send the call; see `PendingCall.launch`."""
        self._arrived: deque[Body | BaseException | str | tuple[Body]] = deque()
        self._waiters = Waiters()
        self.launch(timed=True)
        return ResultStream(self)

    def item(self, body: Body) -> None:
        self._begun = True
        self._put(body)

    def _try_again(self, error: CallError) -> bool:
        return not self._begun and super()._try_again(error)

    def _returned(self, body: Body) -> None:  # noqa: ARG002 - a stream's own result is always None
        self._put(_END)

    def _raised(self, body: Body) -> None:
        self._put((body,))

    def _failed(self, error: BaseException) -> None:
        self._put(error)

    def _put(self, arrived: Body | BaseException | str | tuple[Body]) -> None:
        self._arrived.append(arrived)
        self._waiters.wake()

    def ready(self) -> bool:
        """Whether `take` has something."""
        return bool(self._arrived)

    def wait(self) -> None:
        """Block until `ready`."""
        self._waiters.wait(self.ready, Deadline.of(None))

    async def wait_async(self) -> None:
        """As `wait`, for asyncio."""
        await self._waiters.wait_async(self.ready, Deadline.of(None))

    def take(self) -> Any:
        """The next item; raises what ended the stream."""
        arrived = self._arrived.popleft()
        if isinstance(arrived, Body):
            self._taken += 1
            if self._taken * 2 >= STREAM_CREDIT and self._session is not None:
                self._session.grant(self, self._taken)
                self._taken = 0
            return load_result(self.target, arrived)
        if arrived is _END:
            raise StopIteration
        error: Any = load_exception(arrived[0]) if isinstance(arrived, tuple) else arrived
        if isinstance(error, StopIteration | StopAsyncIteration):  # it would pass for the end (PEP 479)
            raise RuntimeError(f"{self.target} raised {type(error).__name__}") from error  # noqa: TRY004
        raise error


class ResultStream(Iterator[R], AsyncIterator[R], Generic[R]):
    """Items of a generator method, in order, for ``for`` and ``async for``.

    The server sends a bounded number of items ahead; a consumer that stops taking them stops the
    generator. Leaving the loop early, `close`, or losing the stream cancels it at the server. For one
    consumer at a time.
    """

    def __init__(self, call: StreamCall) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._over = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> R:
        if self._over:
            raise StopIteration
        try:
            self._call.wait()
            item: R = self._call.take()
        except StopIteration:
            self._over = True
            raise
        except BaseException:  # Ctrl-C, say, or an item that cannot be rebuilt here
            self.close()
            raise
        return item

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        if self._over:
            raise StopAsyncIteration
        try:
            await self._call.wait_async()
            item: R = self._call.take()
        except StopIteration:
            self._over = True
            raise StopAsyncIteration from None
        except BaseException:  # the consumer was cancelled, say, or an item cannot be rebuilt here
            self.close()
            raise
        return item

    def close(self) -> None:
        """Take no more items and cancel the generator. Idempotent."""
        if not self._over:
            self._over = True
            self._call.abandon()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_over", True):
            try:
                self.close()
            except Exception:  # the interpreter is going down
                self._over = True
