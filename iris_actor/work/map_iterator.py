"""MapIterator: the results of `WorkerPool.map`, in order, while the input is read as results are taken."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Self

from iris_actor.deadline import Deadline

_ASK_EVERY = 8
"""Tasks between two looks at how many may be ahead."""

Submit = Callable[[Sequence[Any]], "Future[Any]"]


class MapIterator(Iterator[Any]):
    """Yields results in the order of the input. Not thread-safe, as other iterators.

    Args:
        submit: starts the call of a chunk, or of one argument tuple where `chunksize` is 1.
        arguments: argument tuples; read only as far as `ahead` asks.
        chunksize: how many of them travel as one task.
        ahead: says how many tasks may be submitted and not taken; asked again now and then.
        deadline: until when each result must have come.
        bar: a tqdm bar that is moved with each result; None for none.

    Closing it, or dropping it, cancels what has not started.
    """

    def __init__(
        self,
        submit: Submit,
        arguments: Iterator[tuple[Any, ...]],
        *,
        chunksize: int,
        ahead: Callable[[], int],
        deadline: Deadline,
        bar: Any = None,
    ) -> None:
        self._submit = submit
        self._arguments = arguments
        self._chunksize = chunksize
        self._deadline = deadline
        self._bar = bar
        self._futures: deque[Future[Any]] = deque()
        self._ready: deque[Any] = deque()
        self._ahead = ahead
        self._most = 0
        self._taken = 0
        self._exhausted = False
        self._closed = False
        try:
            self._fill()
        except BaseException:
            self.close()
            raise

    def _fill(self) -> None:
        if self._taken % _ASK_EVERY == 0:
            self._most = self._ahead()
        self._taken += 1
        while len(self._futures) < self._most and self._submit_next():
            pass

    def _submit_next(self) -> bool:
        if self._exhausted:
            return False
        if self._chunksize == 1:
            one = next(self._arguments, None)
            self._exhausted = one is None
            if one is not None:
                self._futures.append(self._submit(one))
        else:
            chunk = list(itertools.islice(self._arguments, self._chunksize))
            self._exhausted = not chunk
            if chunk:
                self._futures.append(self._submit(chunk))
        return not self._exhausted

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        while not self._ready:
            if self._closed or not self._futures:
                self.close()
                raise StopIteration
            try:
                # The future leaves the queue first: neither it nor its result is kept.
                result = self._take()
                self._fill()
            except BaseException:
                self.close()
                raise
            if self._chunksize == 1:
                self._ready.append(result)
            else:
                self._ready.extend(result)
            del result
        if self._bar is not None:
            self._bar.update(1)
        return self._ready.popleft()

    def _take(self) -> Any:
        # Left in the queue while we wait, so that `close` cancels it when the wait ends early.
        self._futures[0].exception(self._deadline.timeout)
        return self._futures.popleft().result()

    def close(self) -> None:
        """Cancel what has not started, and yield no more. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for future in self._futures:
            future.cancel()
        self._futures.clear()
        if self._bar is not None:
            self._bar.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()
