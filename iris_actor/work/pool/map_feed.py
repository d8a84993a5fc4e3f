"""MapFeed: the calls of one `map`, submitted as far ahead of its consumer as they may be.

::

    input ──▶ MapFeed ──▶ submit ──▶ futures, in the order of the input ──▶ MapIterator
              OpenMaps: those of a pool of which no result was asked for yet
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from iris_actor.deadline import Deadline

_log = logging.getLogger(__name__)

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
    """

    def __init__(
        self,
        submit: Submit,
        arguments: Iterator[tuple[Any, ...]],
        *,
        chunksize: int,
        ahead: Callable[[], int],
    ) -> None:
        self._submit = submit
        self._arguments = arguments
        self._chunksize = chunksize
        self._ahead = ahead
        self._most = 0
        self._fills = 0
        self._futures: deque[Future[Any]] = deque()
        self._lock = threading.RLock()  # guards the input, which `read_on` reads from another thread
        self._reading = False
        self._ended = False
        self._error: BaseException | None = None
        self._input_raised = False
        self._on_end: Callable[[], object] = bool

    def __len__(self) -> int:
        """How many tasks are submitted and not taken."""
        return len(self._futures)

    @property
    def ended(self) -> bool:
        """Whether the whole input was read."""
        return self._ended

    def fill(self) -> None:
        """Submit as many tasks as may be ahead."""
        if self._fills % _ASK_EVERY == 0:
            self._most = self._ahead()
        self._fills += 1
        if not self._ended:
            self._read(self._most)

    def read_on(self, stop: Callable[[], bool] = bool) -> None:
        """Submit all that is left, however far ahead of the consumer, or until `stop()`."""
        self._read(None, stop)

    def when_ended(self, callback: Callable[[], object]) -> None:
        """Call `callback()` once the whole input was read, or now. It must neither block nor raise."""
        self._on_end = callback
        if self._ended:
            callback()

    def _read(self, most: int | None, stop: Callable[[], bool] = bool) -> None:
        with self._lock:
            if self._reading:  # the input's own code shuts the pool down, or asks for a result
                return
            self._reading = True
            try:
                while not self._ended and (most is None or len(self._futures) < most) and not stop():
                    self._submit_next()
            finally:
                self._reading = False

    def _submit_next(self) -> None:
        chunk: list[tuple[Any, ...]] = []
        error: BaseException | None = None
        ended = False
        try:
            # Not list(...): items that came before an exception are to be submitted too.
            for arguments in itertools.islice(self._arguments, self._chunksize):
                chunk.append(arguments)  # noqa: PERF402
        except BaseException as raised:
            if not isinstance(raised, Exception) and threading.current_thread() is threading.main_thread():
                raise  # Ctrl-C, most likely
            self._input_raised = True
            error = raised
        if chunk:
            try:
                self._futures.append(self._submit(chunk[0] if self._chunksize == 1 else chunk))
            except Exception as refused:
                ended = True
                error = error or refused
        if ended or error is not None or len(chunk) < self._chunksize:
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        self._ended = True
        self._error = self._error or error
        self._arguments = iter(())
        # It shall not keep alive what it has no more use for.
        self._submit, self._ahead = _submit_nothing, int
        self._on_end()

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
        for future in futures:
            future.cancel()

    def run_dry(self) -> None:
        """Take all results and drop them, exceptions too; returns when all is done."""
        while self._futures:
            with suppress(BaseException):
                self._futures.popleft().exception()
            self.fill()

    @property
    def input_error(self) -> BaseException | None:
        """What the input raised, unless `finish` has raised it already.

        Not that the pool takes no more tasks, which ends the input as well.
        """
        return self._error if self._input_raised else None


def _submit_nothing(arguments: Sequence[Any]) -> Future[Any]:
    raise RuntimeError(f"the map is closed, {arguments!r} cannot be submitted")


class OpenMaps:
    """The maps of a pool of which nobody has asked for a result. Thread-safe.

    As with the standard library's executors these count as submitted as a whole: they are run to their end
    when their iterator is dropped, when the pool is shut down or dropped, and when the interpreter exits.
    """

    def __init__(self) -> None:
        self._feeds: set[MapFeed] = set()
        self._errors: deque[BaseException] = deque()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._feeds)

    def add(self, feed: MapFeed) -> None:
        """A new map."""
        self._feeds.add(feed)

    def discard(self, feed: MapFeed) -> None:
        """From now on its consumer decides how far it is read."""
        self._feeds.discard(feed)

    def abandon(self, feed: MapFeed) -> None:
        """Nobody will take its results: run it all the same, a little ahead at a time."""
        if feed.ended:
            self._over(feed)
            return
        # A thread of its own: this may be a finalizer, in the middle of anything.
        with suppress(RuntimeError):  # the interpreter ends, and has seen to the rest
            threading.Thread(target=self._run_dry, args=(feed,), name="iris-map", daemon=True).start()

    def _run_dry(self, feed: MapFeed) -> None:
        try:
            feed.run_dry()
        finally:
            self._over(feed)

    def _over(self, feed: MapFeed) -> None:
        try:
            self._feeds.remove(feed)
        except KeyError:  # another thread has seen to it, or its consumer took it over
            return
        error = feed.input_error
        if error is not None:
            self._errors.append(error)

    def read_on(self) -> None:
        """Submit all that is left of all of them."""
        for feed in list(self._feeds):
            feed.read_on()
            self._over(feed)

    def at_exit(self) -> None:
        """As `read_on`; what inputs raise is logged, since nobody is left to raise it to."""
        self.read_on()
        self._log_errors()

    def finish(self, then: Callable[[], object]) -> None:
        """The pool is dropped: submit all that is left, and call `then()` when no map needs the pool.

        One whose consumer begins to read meanwhile is read as far as that goes. `then` must neither block nor
        raise. For a finalizer: takes no lock.
        """
        if not self._feeds:
            self._log_errors()
            then()
            return
        thread = threading.Thread(target=self._finish, args=(then,), name="iris-map", daemon=True)
        with suppress(RuntimeError):  # as above
            thread.start()

    def _finish(self, then: Callable[[], object]) -> None:
        for feed in list(self._feeds):
            feed.read_on(stop=lambda feed=feed: feed not in self._feeds)  # type: ignore[misc]
            self._over(feed)
            if not feed.ended:  # its consumer took it over
                then = partial(feed.when_ended, then)
        self._log_errors()
        then()

    def take_error(self) -> BaseException | None:
        """What the input of a map raised that nobody reads; each error is given once, None when all are."""
        try:
            return self._errors.popleft()
        except IndexError:
            return None

    def _log_errors(self) -> None:
        """Tell of these errors where there is nobody to raise them to."""
        while (error := self.take_error()) is not None:
            _log.error("the input of a map raised, and what came after it was not run", exc_info=error)
