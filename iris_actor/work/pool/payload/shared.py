"""Shared: a handle for an object that each worker of a pool gets once, and tasks get as the object itself.

::

    put(obj) ─▶ Shared ─▶ an argument, anywhere in one, or a variable of the function
                             │ pickled as its number; the task is known to need it
                             ▼
    worker: the number ─▶ the object, rebuilt when it arrived ahead of the first task that needs it
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from iris_actor import codec
from iris_actor.rpc.buffers import own
from iris_actor.work.pool.payload.definition import Definition, Definitions, with_needs
from iris_actor.work.worker.shared_objects import fetch_shared

_pickling = threading.local()
"""Its `into` takes the handles that the pickling which is under way in this thread meets."""


class Shared(Definition):
    """Stands for an object in the arguments of tasks; made by `WorkerPool.put`. Thread-safe.

    Workers keep their copy until this handle, and all tasks that use it, are gone.
    """

    __slots__ = ("_label", "_lock", "_version")

    def __init__(self, definitions: Definitions, value: Any, version: int) -> None:
        with collected(definitions) as found:
            body = own(codec.dumps(value))
        super().__init__(definitions, definitions.next_id(), body, with_needs(found.values()))
        definitions.shared = True
        self._label = type(value).__qualname__
        self._lock = threading.Lock()  # guards the replacement of body
        self._version = version

    @property
    def nbytes(self) -> int:
        """How large the object is when it travels, in bytes."""
        return 0 if self.body is None else self.body.nbytes

    def renew(self, version: int) -> None:
        """Pickle the object again, since more modules travel by value now than in `version`s before.

        Raises:
            SerializationError: when it cannot be rebuilt or pickled.
        """
        with self._lock:
            if self._version < version and self.body is not None:
                with collected(self.owner) as found:
                    self.body = own(codec.dumps(codec.loads(self.body)))
                self.needs = with_needs(found.values())
                self._version = version

    def __reduce__(self) -> Any:
        into = getattr(_pickling, "into", None)
        if into is None:
            raise TypeError(
                "a handle of WorkerPool.put() does not pickle by itself: it travels with a task of its pool,"
                " as an argument, inside one, or as a variable of the function"
            )
        definitions, found = into
        if definitions is not self.owner:
            raise TypeError(f"{self!r} was put into another pool than the one that is to run the task")
        found[self.id] = self
        return fetch_shared, (self.id,)

    def __repr__(self) -> str:
        return f"<Shared {self._label}, {self.nbytes} bytes>"


@contextmanager
def collected(definitions: Definitions) -> Iterator[dict[int, Definition]]:
    """Within it, this thread may pickle handles of the pool of `definitions`; gives those that it met."""
    before = getattr(_pickling, "into", None)
    found: dict[int, Definition] = {}
    _pickling.into = (definitions, found)
    try:
        yield found
    finally:
        _pickling.into = before
