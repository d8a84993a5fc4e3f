"""Arguments and results of calls to bodies and back, with errors that name the call."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

from iris_actor.codec.body import EMPTY, OUT_OF_BAND, PROTOCOL, Body
from iris_actor.codec.texts import brief, described, exception_text
from iris_actor.codec.values import ATOMS, dumps, loads
from iris_actor.errors import SerializationError


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
            if kind not in ATOMS or (kind is bytes and len(value) >= OUT_OF_BAND):
                break
        else:
            return Body(pickle.dumps((args, {}), PROTOCOL))
    try:
        return dumps((args, dict(kwargs)))
    except SerializationError as error:
        culprit, cause = _find_culprit([*enumerate(args), *kwargs.items()], error)
        # The text of an exception that is meant to end something tells nobody what it is.
        text = exception_text(cause) if isinstance(cause, Exception) else described(cause)
        text = text or type(cause).__name__
        raise SerializationError.of(target, f"cannot pickle argument {culprit}: {text}") from error.__cause__


def _find_culprit(
    arguments: Sequence[tuple[int | str, Any]], error: SerializationError
) -> tuple[str, BaseException]:
    if not isinstance(error.__cause__, Exception):  # it wants out: no second attempt
        only = f"{arguments[0][0]!r}" if len(arguments) == 1 else "list"
        return only, error.__cause__ or error
    for key, value in arguments:
        try:
            dumps(value)
        except SerializationError as own:
            return f"{key!r} ({brief(value)})", own.__cause__ or own
    return "list", error.__cause__ or error


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
