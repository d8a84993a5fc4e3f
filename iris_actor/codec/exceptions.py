"""Exceptions to bodies and back: as themselves, with the traceback of the far side."""

from __future__ import annotations

import pickle
import traceback
from types import TracebackType
from typing import Any

from iris_actor.codec.body import PROTOCOL, Body
from iris_actor.codec.exception_reduction import may_not_rebuild
from iris_actor.codec.texts import exception_text, type_name
from iris_actor.codec.values import dump_the_other_way, dumps, let_interrupts_pass, loads
from iris_actor.errors import RemoteError, RemoteTraceback, SerializationError


def dump_exception(error: BaseException, *, skip: TracebackType | None = None) -> Body:
    """The body of an exception: type name, message, formatted traceback, and its pickle if it has one.

    Args:
        error: the exception.
        skip: the innermost traceback entry of the framework; what is shown begins behind it.
    """
    shown = error.__traceback__
    if skip is not None:
        shown = skip.tb_next or shown
    text = "".join(traceback.format_exception(type(error), error, shown))
    parts = (type_name(type(error)), exception_text(error), text, _pickled(error))
    return Body(pickle.dumps(parts, PROTOCOL))


def _pickled(error: BaseException) -> bytes | None:
    """`error` in the first way in which it can be pickled and rebuilt, if there is one."""
    for way in (dumps, dump_the_other_way):
        try:
            body = way(error)
            # What pickles may still not rebuild, which shows only when it is tried.
            if may_not_rebuild(error) and not isinstance(loads(body), BaseException):
                continue
        except SerializationError as failed:
            if not isinstance(failed.__cause__, Exception):  # it wants out: no second attempt
                return None
            continue
        parts = bytes(body.data), [bytes(buffer) for buffer in body.buffers]
        return pickle.dumps(parts, PROTOCOL)
    return None


def load_exception(body: Body) -> BaseException:
    """The exception that `dump_exception` packed, with its far traceback as ``__cause__``.

    One that cannot be rebuilt here becomes a `RemoteError` that carries its type name and text.

    Raises:
        SerializationError: `body` is none that `dump_exception` made.
        KeyboardInterrupt: Ctrl-C, in the main thread.
    """
    name, message, text, pickled = loads(body)
    error: Any = None
    if pickled is not None:
        try:
            data, buffers = pickle.loads(pickled)
            error = pickle.loads(data, buffers=buffers)
        except BaseException as raised:  # its class may raise anything while it is rebuilt
            let_interrupts_pass(raised)
    rebuilt = error if isinstance(error, BaseException) else RemoteError(name, message, text)
    # Past a __setattr__ of the class, which may forbid it.
    BaseException.__setattr__(rebuilt, "__cause__", RemoteTraceback(text))
    return rebuilt
