"""What travels between a pool and its workers.

The named tuples below say what the fields are; on the way, and where thousands pass in a second, the messages
are bare tuples: named ones would each make the pickler ask about their class.

::

    pool ──▶ run(batch id, definitions, forgotten, tasks) ──▶ worker
    pool ◀── (outcomes, complete) ◀── worker        and again by more(batch id) while not complete

Each task and each outcome is pickled on its own, before it joins a batch: two tasks never share an object
because they happened to travel together, and one that cannot be rebuilt spoils only itself. Small values that
nobody can change (`is_plain`) go without: they have neither trouble, and most tiny tasks deal in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from pickle import PickleBuffer
from typing import Any, NamedTuple

from iris_actor import codec
from iris_actor.codec import Body
from iris_actor.errors import SerializationError

Packed = tuple[Any, tuple[Any, ...]] | tuple[Any]
"""A `Body` whose large parts stay out of band while it travels inside another one; or a plain value alone."""

PLAIN_BYTES = 256
"""Size of a plain value at most."""
_LARGE = 1 << 64
_PLAIN = frozenset({float, bool, type(None)})


INITIALIZER = 1
"""Sequence number of the pool's initializer; 0 stands for none."""
FIRST_TASK = 2
"""Sequence number of a pool's first task."""


class Kind(IntEnum):
    """What an outcome holds."""

    VALUE = 0
    RAISED = 1
    """An exception of the task's, or that its result cannot be pickled."""
    NOT_REBUILT = 2
    """The function or its arguments could not be rebuilt in the worker; the task did not run."""
    LATE = 3
    """The task ended after its timeout had passed, so what it returned or raised counts no more."""


class DefinitionMessage(NamedTuple):
    """A function or a shared object, under the number by which tasks refer to it.

    `frozen` makes large arrays in it read-only, since one task would change them for the others.
    """

    number: int
    packed: Packed
    frozen: bool = False


class TaskMessage(NamedTuple):
    """A task on its way to a worker.

    `function_id` 0 means that the callable stands before the arguments in the body. `spread` means that
    the body holds a list of argument tuples, each for a call of its own, and asks for the list of results.
    `timeout` counts from the start of the task; `trace` is the submitter's trace context.
    """

    seq: int
    function_id: int
    packed: Packed
    spread: bool
    timeout: float | None = None
    trace: Mapping[str, str] | None = None


class OutcomeMessage(NamedTuple):
    """An outcome on its way back. `missing` names the module that a NOT_REBUILT one lacked, if any."""

    seq: int
    kind: int
    packed: Packed
    seconds: float
    missing: str | None = None


def pack(body: Body) -> Packed:
    """The form in which `body` travels inside another one without being copied."""
    if type(body.data) is bytes and not body.buffers:
        return body.data, ()
    data = body.data if type(body.data) is bytes else PickleBuffer(body.data)
    return data, tuple(map(PickleBuffer, body.buffers))


def is_plain(value: Any) -> bool:
    """Whether `value` may travel as it is, beside others in one pickle."""
    kind: type = type(value)
    if kind is int:
        return bool(-_LARGE < value < _LARGE)
    if kind is str or kind is bytes:
        return len(value) <= PLAIN_BYTES
    return kind in _PLAIN


def unpack_value(packed: Packed) -> Any:
    """The value of a plain one, or of the body that `pack` packed.

    Raises:
        SerializationError: when it cannot be rebuilt here.
        KeyboardInterrupt: its own code raised that while it was being rebuilt in the main thread.
    """
    return packed[0] if len(packed) == 1 else codec.loads(unpack(packed))


def unpack(packed: Packed) -> Body:
    """The body that `pack` packed."""
    data, buffers = packed  # type: ignore[misc]  # not a plain value
    if not buffers:
        return Body(data)
    return Body(data, tuple(map(memoryview, buffers)))


def does_not_rebuild(error: BaseException) -> SerializationError:
    """`error` of an unpickler that is no Exception, as the error that callers know."""
    text = f"cannot rebuild a value here: {type(error).__name__}: {codec.exception_text(error)}"
    wrapped = SerializationError(text)
    wrapped.__cause__ = error
    return wrapped


def does_not_pickle(error: BaseException, what: str = "") -> SerializationError:
    """`error` of a pickler as the error that callers know; pickling runs code that may raise anything."""
    if isinstance(error, SerializationError) and not what:
        return error
    text = codec.exception_text(error)
    if not isinstance(error, SerializationError):
        text = f"{type(error).__name__}: {text}"
    wrapped = SerializationError(f"{what or 'the call'} does not pickle: {text}")
    wrapped.__cause__ = error
    return wrapped
