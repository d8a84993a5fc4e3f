"""What errors say of values and exceptions, also where the users' code that should tell fails."""

from __future__ import annotations

from typing import Any


def type_name(cls: type) -> str:
    """The qualified name of a class; without module for builtin ones."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def exception_text(error: BaseException) -> str:
    """``str(error)``, also where that fails."""
    try:
        return str(error)
    except BaseException:
        return f"<{type(error).__name__} whose __str__ fails>"


def described(error: BaseException) -> str:
    """The type of `error`, and its text."""
    return f"{type(error).__name__}: {exception_text(error)}"


def brief(value: Any, most: int = 80) -> str:
    """The type and the beginning of the ``repr`` of `value`."""
    try:
        text = repr(value)
    except BaseException:
        text = "<unprintable>"
    if len(text) > most:
        text = text[: most - 3] + "..."
    return f"{type(value).__name__} {text}"
