"""Codec: Python objects to bodies and back, exceptions with their traceback at the far side.

A `Body` is what travels: the pickle stream, and beside it the large buffers (numpy arrays and the
like) that pickle protocol 5 leaves out of band, unsplit and uncopied (PEP 574).

Three picklers, tried from the cheapest: plain `pickle.dumps` where the arguments are atoms; the C
pickler, which asks us only about objects that are no builtin containers; and cloudpickle, once a
function or class turns up that must travel by value. This is the only module that imports cloudpickle.
"""

from __future__ import annotations

import copyreg
import io
import json
import pickle
import sys
import traceback
from collections.abc import Iterable, Mapping
from types import FunctionType, ModuleType, TracebackType
from typing import Any

from iris_actor.errors import RemoteError, RemoteTraceback, SerializationError
from iris_actor.program_exit import is_program_exit

OUT_OF_BAND = 64 * 1024
"""Bytes from which a buffer may travel beside the pickle stream; below, copying costs less."""
ONE_PIECE = 256 * 1024
"""Bytes of such buffers that go into the stream all the same: what is no larger travels in one piece, in one
frame. Several pieces cost more than copying that much."""

_PROTOCOL = 5
_ATOMS = frozenset({int, float, str, bool, bytes, type(None)})


class Body:
    """Bytes that stand for a Python value: a stream, and large buffers beside it."""

    __slots__ = ("buffers", "data")

    def __init__(self, data: bytes | memoryview, buffers: tuple[memoryview, ...] = ()) -> None:
        self.data = data
        self.buffers = buffers

    @property
    def nbytes(self) -> int:
        """Size of all parts in bytes."""
        size = len(self.data)
        for buffer in self.buffers:
            size += buffer.nbytes
        return size

    def __repr__(self) -> str:
        return f"Body({len(self.data)} bytes, {len(self.buffers)} buffers of {self.nbytes - len(self.data)})"


EMPTY = Body(pickle.dumps(((), {}), _PROTOCOL))
"""The arguments of a call that has none."""
NONE = Body(pickle.dumps(None, _PROTOCOL))
"""The value None."""


class _TravelsByValueError(Exception):
    """The plain pickler met a function or class whose module the far side may not have."""


def travels_by_value(obj: type | FunctionType) -> bool:
    """Whether a function or class travels with its code, instead of as its name."""
    module = getattr(obj, "__module__", None)
    if module is None or module in {"__main__", "__mp_main__"} or "<locals>" in obj.__qualname__:
        return True
    if "cloudpickle" not in sys.modules:  # so nobody can have registered a module there
        return False
    forced = _cloudpickle().list_registry_pickle_by_value()
    return bool(forced) and any(module == name or module.startswith(f"{name}.") for name in forced)


def _rebuild_exception(cls: type[BaseException], base: Any, args: tuple[Any, ...]) -> Any:
    error = base.__new__(cls, *args)
    base.__init__(error, *args)
    return error


def _reduce_exception(error: BaseException) -> Any:
    """Reduction of an exception whose class has an ``__init__`` of its own, without calling that.

    The builtin reduction calls it with what it handed on to its base, which it often does not take. Only
    for classes that keep the builtin reduction; whoever wrote another knows better.
    """
    cls = type(error)
    own = (cls.__new__, cls.__reduce__, cls.__reduce_ex__)
    initializer: Any = cls.__init__
    if not isinstance(initializer, FunctionType) or any(isinstance(f, FunctionType) for f in own):
        registered = copyreg.dispatch_table.get(cls)
        if registered is not None and registered is copyreg.dispatch_table.get(Exception):
            # tblib, which dask and others install, registers one function for all exceptions there are, which
            # loses what classes in C keep outside of args.
            return error.__reduce_ex__(_PROTOCOL)
        return NotImplemented
    bases: list[Any] = list(cls.__mro__)
    base = next(each for each in bases if not isinstance(each.__init__, FunctionType))
    _, args, *state = base.__reduce__(error)
    return _rebuild_exception, (cls, base, args), *state


class _LargeBytes:
    """Stands for bytes that travel beside the pickle stream, as pickle itself does with arrays only."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __reduce__(self) -> Any:
        return bytes, (pickle.PickleBuffer(self._data),)


def _lift(value: Any) -> Any:
    """`value`, or what is to be pickled in its place."""
    return _LargeBytes(value) if type(value) is bytes and len(value) >= OUT_OF_BAND else value


class _Pickler(pickle.Pickler):
    """The C pickler; gives up on what must travel by value."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | FunctionType):
            if travels_by_value(obj):
                raise _TravelsByValueError
        elif isinstance(obj, BaseException):
            return _reduce_exception(obj)
        return NotImplemented


def _cloudpickle() -> Any:
    import cloudpickle

    return cloudpickle


_value_pickler: type[pickle.Pickler] | None = None


def _by_value_pickler() -> type[pickle.Pickler]:
    global _value_pickler  # noqa: PLW0603 - the class is made on first use, to keep the import of cloudpickle lazy
    if _value_pickler is None:
        base: Any = _cloudpickle().Pickler

        class ByValuePickler(base):  # type: ignore[misc]
            def reducer_override(self, obj: Any) -> Any:
                if isinstance(obj, BaseException):
                    reduced = _reduce_exception(obj)
                    if reduced is not NotImplemented:
                        return reduced
                return super().reducer_override(obj)

        _value_pickler = ByValuePickler
    return _value_pickler


def travel_by_value(module: ModuleType) -> None:
    """Have functions and classes of `module` travel by value, as those of ``__main__`` do.

    For modules that only this process can import. Applies to the whole process; thread-safe.
    """
    _cloudpickle().register_pickle_by_value(module)


def dumps(value: Any) -> Body:
    """The body of `value`. Large buffers are referenced, not copied; bytes as well, unless nested.

    Those are buffers of 64 KiB and more, from where all of them together are over 256 KiB.

    Raises:
        SerializationError: (a TypeError) when the value cannot be pickled.
    """
    if type(value) in _ATOMS:
        if type(value) is not bytes or len(value) < OUT_OF_BAND:
            return Body(pickle.dumps(value, _PROTOCOL))
        value = _LargeBytes(value)
    try:
        return _dump_with(_Pickler, value)
    except BaseException as raised:  # cloudpickle can do more, and words the error if it cannot either
        if is_program_exit(raised):
            raise
    try:
        return _dump_with(_by_value_pickler(), value)
    except BaseException as raised:
        if is_program_exit(raised):
            raise
        # cloudpickle hides what went too deep behind an error of its own.
        hidden = isinstance(raised.__cause__, RecursionError)
        error = raised.__cause__ if hidden and raised.__cause__ is not None else raised
        try:
            text = f"cannot pickle {_brief(value)}: {type(error).__name__}: {exception_text(error)}"
            raise SerializationError(text) from error
        finally:
            del error  # it holds this frame, and with it the value, until the garbage is collected


def _dump_with(pickler_class: type[pickle.Pickler], value: Any) -> Body:
    buffers: list[memoryview] = []
    room = ONE_PIECE

    def take(buffer: pickle.PickleBuffer) -> bool:
        nonlocal room
        raw = buffer.raw()
        if raw.nbytes < OUT_OF_BAND:
            return True
        if raw.nbytes <= room:
            room -= raw.nbytes
            return True
        buffers.append(raw)
        return False

    stream = io.BytesIO()
    pickler_class(stream, _PROTOCOL, buffer_callback=take).dump(value)
    return Body(stream.getbuffer() if stream.tell() > 2 * ONE_PIECE else stream.getvalue(), tuple(buffers))


def dump_arguments(target: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Body:
    """The body of a call's arguments.

    Raises:
        SerializationError: naming `target` and the argument that cannot be pickled.
    """
    if not kwargs:
        if not args:
            return EMPTY
        for value in args:
            kind = type(value)
            if kind not in _ATOMS or (kind is bytes and len(value) >= OUT_OF_BAND):
                break
        else:
            return Body(pickle.dumps((args, {}), _PROTOCOL))
    try:
        return dumps((tuple(map(_lift, args)), {name: _lift(value) for name, value in kwargs.items()}))
    except SerializationError as error:
        culprit, cause = _find_culprit([*enumerate(args), *kwargs.items()], error)
        text = f"cannot pickle argument {culprit}: {exception_text(cause)}"
        raise SerializationError.of(target, text) from error.__cause__


def _find_culprit(
    arguments: Iterable[tuple[int | str, Any]], error: SerializationError
) -> tuple[str, BaseException]:
    for key, value in arguments:
        try:
            dumps(value)
        except SerializationError as own:
            return f"{key!r} ({_brief(value)})", own.__cause__ or own
    return "list", error.__cause__ or error


def loads(body: Body) -> Any:
    """The value of `body`. Runs code that the sender chose: only for peers that were let in.

    Raises:
        SerializationError: when it cannot be rebuilt here, for instance because a module is missing.
    """
    try:
        return pickle.loads(body.data, buffers=body.buffers)
    except BaseException as error:
        if is_program_exit(error):
            raise
        why = f"{type(error).__name__}: {exception_text(error)}"
        raise SerializationError(f"cannot rebuild a value of {body.nbytes} bytes here: {why}") from error


def load_arguments(body: Body) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional and keyword arguments that `dump_arguments` packed."""
    args, kwargs = loads(body)
    return args, kwargs


def load_result(target: str, body: Body) -> Any:
    """The value that a call of `target` returned or yielded.

    Raises:
        SerializationError: naming `target`, when it cannot be rebuilt here.
    """
    try:
        return loads(body)
    except SerializationError as error:
        raise SerializationError.of(target, str(error), may_have_run=True) from error.__cause__


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
    try:
        inner = dumps(error)
        parts = bytes(inner.data), [bytes(buffer) for buffer in inner.buffers]
        pickled: bytes | None = pickle.dumps(parts, _PROTOCOL)
    except SerializationError:
        pickled = None
    return Body(pickle.dumps((_type_name(type(error)), exception_text(error), text, pickled), _PROTOCOL))


def load_exception(body: Body) -> BaseException:
    """The exception that `dump_exception` packed, with its far traceback as ``__cause__``.

    One that cannot be rebuilt here becomes a `RemoteError` that carries its type name and text.
    """
    type_name, message, text, pickled = loads(body)
    error: Any = None
    if pickled is not None:
        try:
            data, buffers = pickle.loads(pickled)
            error = pickle.loads(data, buffers=buffers)
        except BaseException as raised:  # its class may raise anything while it is rebuilt
            if is_program_exit(raised):
                raise
            error = None
    rebuilt = error if isinstance(error, BaseException) else RemoteError(type_name, message, text)
    rebuilt.__cause__ = RemoteTraceback(text)
    return rebuilt


def dump_json(value: Any) -> bytes:
    """`value` as JSON in UTF-8.

    Raises:
        SerializationError: when JSON has no form for it.
    """
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise SerializationError(f"{_brief(value)} has no JSON form: {error}") from error


def load_json(data: bytes, what: str) -> Any:
    """The value of JSON text `data`; `what` names it in the error.

    Raises:
        SerializationError: when it is no JSON.
    """
    try:
        return json.loads(data)
    except ValueError as error:
        raise SerializationError(f"{what} is not JSON: {error}") from error


def _type_name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def exception_text(error: BaseException) -> str:
    """``str(error)``, also where that fails."""
    try:
        return str(error)
    except BaseException as raised:
        if is_program_exit(raised):
            raise
        return f"<{type(error).__name__} whose __str__ fails>"


def _brief(value: Any, most: int = 80) -> str:
    try:
        text = repr(value)
    except BaseException as raised:
        if is_program_exit(raised):
            raise
        text = "<unprintable>"
    if len(text) > most:
        text = text[: most - 3] + "..."
    return f"{type(value).__name__} {text}"
