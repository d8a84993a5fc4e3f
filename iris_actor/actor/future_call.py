"""Calls whose outcome goes into a future: of concurrent.futures, or of an event loop."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from iris_actor.actor.call_future import CallFuture
from iris_actor.actor.pending_call import PendingCall
from iris_actor.codec import Body, load_exception, load_result
from iris_actor.rpc.loop_queue import LoopQueue, queue_into


class FutureCall(PendingCall):
    """A call whose outcome goes into a `CallFuture`."""

    _future: CallFuture

    def start(self) -> CallFuture:
        """Send the call; see `PendingCall.launch`."""
        self._future = future = CallFuture(self.target)
        future.call = self
        self.launch(timed=True)
        return future

    def _returned(self, body: Body) -> None:
        self._future.call = None
        self._future.resolve(body)

    def _raised(self, body: Body) -> None:
        self._future.call = None
        self._future.reject(body)

    def _failed(self, error: BaseException) -> None:
        self._future.call = None
        self._future.fail(error)


class AsyncCall(PendingCall):
    """A call whose outcome goes to a coroutine."""

    _future: asyncio.Future[tuple[Body, bool] | BaseException]
    """Its result is what was returned or (True) raised, or why there is nothing. An error is not set as its
    exception: not every class can be."""
    _into: LoopQueue

    async def wait(self) -> Any:
        """Send the call and wait for its result."""
        loop = asyncio.get_running_loop()
        self._into = queue_into(loop)
        self._future = loop.create_future()
        try:
            await self.launch_async()
            outcome = await self._future
        except BaseException:  # no outcome: cancelled, or never sent
            self.abandon()
            self._future.cancel()
            raise
        if isinstance(outcome, BaseException):
            raise outcome
        body, raised = outcome
        if raised:
            raise load_exception(body)
        return load_result(self.target, body)

    def _returned(self, body: Body) -> None:
        self._into.call_soon(partial(self._deliver, (body, False)))

    def _raised(self, body: Body) -> None:
        self._into.call_soon(partial(self._deliver, (body, True)))

    def _failed(self, error: BaseException) -> None:
        self._into.call_soon(partial(self._deliver, error))

    def _deliver(self, outcome: tuple[Body, bool] | BaseException) -> None:
        if not self._future.done():
            self._future.set_result(outcome)
