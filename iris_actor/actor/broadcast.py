"""Broadcast: one call to every endpoint of a name, and what came of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from iris_actor.deadline import Deadline, check_timeout
from iris_actor.errors import DeadlineExceededError
from iris_actor.registry.endpoint import Endpoint
from iris_actor.rpc.io_thread import check_not_forked

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class CallResult(Generic[R]):
    """What came of one endpoint's call: a value, or an exception.

    Attributes:
        endpoint: who was called.
        value: what the method returned; None when it failed.
        exception: why it failed; None when it returned.
    """

    endpoint: Endpoint
    value: R | None = None
    exception: BaseException | None = None

    @property
    def ok(self) -> bool:
        """Whether the method returned."""
        return self.exception is None

    def result(self) -> R:
        """The value.

        Raises:
            BaseException: the exception, when the call failed.
        """
        if self.exception is not None:
            raise self.exception
        return cast("R", self.value)


class Broadcast(Generic[R]):
    """Calls under way to every endpoint that was there. Iterating gives (endpoint, future) pairs."""

    def __init__(self, target: str, calls: Sequence[tuple[Endpoint, Future[R]]]) -> None:
        self._target = target
        self._calls = list(calls)

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[tuple[Endpoint, Future[R]]]:
        return iter(self._calls)

    def wait_all(self, timeout: float | None = None) -> list[CallResult[R]]:
        """Block until every call ended, or one common deadline passed; a result for each endpoint.

        Args:
            timeout: seconds for all of them together. Calls that did not end by then are cancelled, and
                stand as `DeadlineExceededError` in the result. None waits as long as it takes.

        Exceptions are returned, not raised.

        Raises:
            ForkedProcessError: in a process forked from the one that called, if calls are under way.
        """
        if not all(future.done() for _, future in self._calls):
            check_not_forked()
        deadline = Deadline.of(check_timeout(timeout))
        for _, future in self._calls:
            # Not the stdlib's wait: no Ctrl-C would end it.
            with suppress(TimeoutError, CancelledError):
                future.exception(deadline.timeout)
        return [self._outcome(endpoint, future, timeout) for endpoint, future in self._calls]

    def _outcome(self, endpoint: Endpoint, future: Future[R], timeout: float | None) -> CallResult[R]:
        if future.cancel() or future.cancelled():
            message = f"no answer from {endpoint.address} within {timeout} s"
            return CallResult(endpoint, exception=DeadlineExceededError.of(self._target, message))
        error = future.exception()
        if error is not None:
            return CallResult(endpoint, exception=error)
        return CallResult(endpoint, value=future.result())
