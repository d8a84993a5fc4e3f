"""Values to bodies and back."""

from __future__ import annotations

import pickle
import threading
from typing import Any

from iris_actor.codec.body import OUT_OF_BAND, PROTOCOL, Body
from iris_actor.codec.plain_pickler import PlainPickler
from iris_actor.codec.stream import Stream
from iris_actor.codec.texts import brief, described
from iris_actor.errors import SerializationError

ATOMS = frozenset({int, float, str, bool, bytes, type(None)})
"""Builtin types without parts."""


def dumps(value: Any) -> Body:
    """The body of `value`. Large buffers and bytes, wherever they are in it, are referenced, not copied.

    Those are such of 64 KiB and more, from where all of them together are over 256 KiB. A large bytearray is
    copied once, so that it may be resized at once.

    Raises:
        SerializationError: (a TypeError) when the value cannot be pickled, whatever its code raised.
        KeyboardInterrupt: Ctrl-C, in the main thread.
    """
    kind = type(value)
    if kind in ATOMS and (kind is not bytes or len(value) < OUT_OF_BAND):
        return Body(pickle.dumps(value, PROTOCOL))
    try:
        stream = Stream()
        PlainPickler(stream, PROTOCOL, buffer_callback=stream.take).dump(value)
        return stream.body()
    except Exception:  # noqa: S110 - the other pickler can do more, and words the error if it cannot either
        pass
    except BaseException as error:  # wants out: no second attempt
        let_interrupts_pass(error)
        raise _not_pickled(value, error) from error
    return _dump_by_value(value)


def _dump_by_value(value: Any) -> Body:
    from iris_actor.codec.by_value.pickler import ByValuePickler

    stream = Stream()
    pickler = ByValuePickler(stream, PROTOCOL, buffer_callback=stream.take)
    try:
        pickler.dump(value)
        return stream.body()
    except BaseException as raised:
        let_interrupts_pass(raised)
        # cloudpickle hides what went too deep behind an error of its own.
        hidden = isinstance(raised.__cause__, RecursionError)
        error: BaseException = raised.__cause__ if hidden and raised.__cause__ is not None else raised
    try:
        if pickler.met_exception and isinstance(error, Exception):
            try:
                return dump_the_other_way(value)
            except SerializationError:  # the first error tells more
                pass
        raise _not_pickled(value, error) from error
    finally:
        del error  # it holds this frame, and with it the value, until the garbage is collected


def dump_the_other_way(value: Any) -> Body:
    """As `dumps`, with exceptions taken apart in the way that is not preferred.

    What one way loses or cannot do, the other may keep.

    Raises:
        SerializationError: when the value cannot be pickled.
    """
    from iris_actor.codec.by_value.pickler import OtherWayPickler

    stream = Stream()
    try:
        OtherWayPickler(stream, PROTOCOL, buffer_callback=stream.take).dump(value)
    except BaseException as error:
        let_interrupts_pass(error)
        raise _not_pickled(value, error) from error
    return stream.body()


def _not_pickled(value: Any, cause: BaseException) -> SerializationError:
    return SerializationError(f"cannot pickle {brief(value)}: {described(cause)}")


def loads(body: Body) -> Any:
    """The value of `body`. Runs code that the sender chose: only for peers that were let in.

    Raises:
        SerializationError: when it cannot be rebuilt here, for instance because a module is missing, whatever
            its code raised.
        KeyboardInterrupt: Ctrl-C, in the main thread.
    """
    try:
        return pickle.loads(body.data, buffers=body.buffers)
    except BaseException as error:
        let_interrupts_pass(error)
        text = f"cannot rebuild a value of {body.nbytes} bytes here: {described(error)}"
        raise SerializationError(text) from error


def let_interrupts_pass(error: BaseException) -> None:
    """Raise `error` on, if it is what Ctrl-C raises in the main thread: then no value has failed."""
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error
