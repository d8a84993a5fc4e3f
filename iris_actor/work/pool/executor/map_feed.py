"""MapFeed: the calls of one `map`, submitted as far ahead of its consumer as they may be.

::

    input ──▶ MapFeed ──▶ submit ──▶ futures, in the order of the input ──▶ MapIterator
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from iris_actor.deadline import Deadline
from iris_actor.errors import BrokenWorkerPool
from iris_actor.program_exit import is_program_exit
from iris_actor.work.pool.executor.lost_errors import LostErrors

_ASK_EVERY = 8
"""Tasks between two looks at how many may be ahead."""

Submit = Callable[[Sequence[Any]], "Future[Any]"]


class MapFeed:
    """Reads the input of a `map` and submits its calls. One thread takes; the rest is for any thread.

    An exception of the input, or a pool that takes no more, ends the input at that place: what came before
    it is still there to be taken.

    Args:
        submit: starts the call of a chunk, or of one argument tuple where `chunksize` is 1.
        arguments: argument tuples; read only as far as `ahead` asks.
        chunksize: how many of them travel as one task.
        ahead: says how many tasks may be submitted and not taken; asked again now and then.
        lost: takes what ended the input, until the consumer comes to that.
        whole: whether the map counts as submitted as a whole until its first result is asked for.
        holds: what is to be kept alive until the input has been read to its end: the pool, or None.
        on_end: called when that is the case, and in any thread.

    Attributes:
        whole: see above; False once a result was asked for.
    """

    def __init__(
        self,
        submit: Submit,
        arguments: Iterator[tuple[Any, ...]],
        *,
        chunksize: int,
        ahead: Callable[[], int],
        lost: LostErrors,
        whole: bool,
        holds: object,
        on_end: Callable[[MapFeed], None],
    ) -> None:
        self.whole = whole
        self._submit = submit
        self._arguments = arguments
        self._chunksize = chunksize
        self._ahead = ahead
        self._lost = lost
        self._holds = holds
        self._on_end = on_end
        self._most = 0
        self._fills = 0
        self._futures: deque[Future[Any]] = deque()
        self._lock = threading.RLock()  # guards the input, which `read_on` reads from another thread
        self._reading = False
        self._ended = False
        self._error: BaseException | None = None

    def __len__(self) -> int:
        """How many tasks are submitted and not taken."""
        return len(self._futures)

    @property
    def ended(self) -> bool:
        """Whether the whole input was read."""
        return self._ended

    def hold(self, pool: object) -> None:
        """Keep `pool` alive until the input has been read to its end."""
        if not self._ended:
            self._holds = pool

    def fill(self) -> None:
        """Submit as many tasks as may be ahead."""
        if self._fills % _ASK_EVERY == 0:
            self._most = self._ahead()
        self._fills += 1
        if not self._ended:
            self._read(self._most)

    def read_on(self) -> None:
        """Submit all that is left, however far ahead of the consumer."""
        self._read(None)

    def _read(self, most: int | None) -> None:
        with self._lock:
            if self._reading:  # the input's own code shuts the pool down, or asks for a result
                return
            self._reading = True
            try:
                self._submit_until(most)
            finally:
                self._reading = False

    def _submit_until(self, most: int | None) -> None:
        # A function of its own: CPython 3.13.0 leaves a loop's jump back out of the `try` that it stands in.
        while not self._ended and (most is None or len(self._futures) < most):
            self._submit_next()

    def _submit_next(self) -> None:
        chunk: list[tuple[Any, ...]] = []
        try:
            # Not list(...): items that came before an exception are to be submitted too.
            for arguments in itertools.islice(self._arguments, self._chunksize):
                chunk.append(arguments)  # noqa: PERF402
        except BaseException as error:
            if is_program_exit(error):
                raise
            self._end(error, lost=True)
        else:
            if len(chunk) < self._chunksize:
                self._end(None)
        if not chunk:
            return
        try:
            self._futures.append(self._submit(chunk[0] if self._chunksize == 1 else chunk))
        except BaseException as error:
            if is_program_exit(error):
                raise
            # Who has shut the pool down knows that it takes no more.
            self._end(error, lost=isinstance(error, BrokenWorkerPool) or not isinstance(error, RuntimeError))

    def _end(self, error: BaseException | None, *, lost: bool = False) -> None:
        self._ended = True
        if self._error is None and error is not None:
            self._error = error
            if lost:
                self._lost.add(error)
        self._arguments = iter(())
        self._holds = None
        self._on_end(self)

    def take(self, deadline: Deadline) -> Any:
        """The next result; waits for it. There must be one: see `len`.

        Raises:
            TimeoutError: it did not come in time; it can still be cancelled.
            BaseException: what the call raised.
        """
        # It stays in the queue while we wait, so that `cancel` finds it when the wait ends early.
        error = self._futures[0].exception(deadline.timeout)
        if error is None:
            return self._futures.popleft().result()
        self._futures.popleft()
        try:
            raise error
        finally:
            error = None  # the traceback holds this frame, which must not hold the exception

    def finish(self) -> None:
        """Raise what ended the input, if anything did. For when all was taken."""
        error, self._error = self._error, None
        self._lost.discard(error)
        if error is not None:
            try:
                raise error
            finally:
                error = None

    def cancel(self) -> None:
        """Read no more, and cancel what has not started. Idempotent."""
        self._ended = True  # before the lock: ends a `read_on` that is under way
        with self._lock:
            self._end(None)
            self._error = None
            futures, self._futures = self._futures, deque()
            self._submit, self._ahead = _submit_nothing, int
        for future in futures:
            future.cancel()

    def run_dry(self) -> None:
        """Take all results and drop them, exceptions too; returns when all is done."""
        while self._futures:
            with suppress(BaseException):
                self._futures.popleft().exception()
            self.fill()


def _submit_nothing(arguments: Sequence[Any]) -> Future[Any]:
    raise RuntimeError(f"the map is closed, {arguments!r} cannot be submitted")
