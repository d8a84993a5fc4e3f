"""Values to JSON and back."""

from __future__ import annotations

import json
from typing import Any

from iris_actor.codec.texts import brief
from iris_actor.errors import SerializationError


def dump_json(value: Any) -> bytes:
    """`value` as JSON in UTF-8.

    Raises:
        SerializationError: when JSON has no form for it.
    """
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise SerializationError(f"{brief(value)} has no JSON form: {error}") from error


def load_json(data: bytes, what: str) -> Any:
    """The value of JSON text `data`; `what` names it in the error.

    Raises:
        SerializationError: when it is no JSON.
    """
    try:
        return json.loads(data)
    except ValueError as error:
        raise SerializationError(f"{what} is not JSON: {error}") from error
