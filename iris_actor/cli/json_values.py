"""JSON values on the command line: what a word stands for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from iris_actor.cli.failures import UsageError


class _NoJSONError(ValueError):
    """NaN and Infinity, which Python's parser takes and JSON does not have."""


def _refuse(constant: str) -> Any:
    raise _NoJSONError(constant)


def json_value(word: str) -> Any:
    """The value of a word: JSON where it is JSON, else the word itself as a string.

    ``3``, ``true``, ``null``, ``[1, 2]`` and ``{"a": 1}`` are what they are in JSON; ``hello`` is the string
    ``"hello"``; ``'"3"'`` is the string ``"3"``.

    Raises:
        UsageError: for a word that begins like JSON (``[``, ``{`` or ``"``) and is none.
    """
    try:
        return json.loads(word, parse_constant=_refuse)
    except ValueError as error:
        if word.lstrip()[:1] in {"[", "{", '"'}:
            raise UsageError(f"{word!r} begins like JSON but is none: {error}") from None
        return word


def key_values(words: Iterable[str], option: str) -> dict[str, str]:
    """``KEY=VALUE`` words as a mapping.

    Raises:
        UsageError: for a word without ``=``, or a key that comes twice.
    """
    pairs: dict[str, str] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise UsageError(f"{option} takes KEY=VALUE, got {word!r}")
        if key in pairs:
            raise UsageError(f"{option} {key} is given twice")
        pairs[key] = text
    return pairs


def json_arguments(
    args: Iterable[str], kwargs: str | None, pairs: Iterable[str], option: str
) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments from words, a JSON object, and ``KEY=VALUE`` words.

    Raises:
        UsageError: for a word that makes no sense, or an argument that comes twice.
    """
    named: dict[str, Any] = {}
    if kwargs is not None:
        value = json_value(kwargs)
        if not isinstance(value, Mapping):
            raise UsageError(f"--kwargs takes a JSON object, got {kwargs!r}")
        named.update(value)
    for key, text in key_values(pairs, option).items():
        if key in named:
            raise UsageError(f"argument {key!r} is given twice")
        named[key] = json_value(text)
    return [json_value(word) for word in args], named
