"""How the picklers take exceptions apart: with all that they know, and without calling ``__init__`` again.

The builtin reduction calls the class with ``args``, which a class with an ``__init__`` or ``__new__`` of its
own often does not take, and loses what stands in slots. Ours carries ``args``, attributes and slots. A class
that says itself how it is reduced is left to it.
"""

from __future__ import annotations

import copyreg
from types import FunctionType, MemberDescriptorType
from typing import Any

from iris_actor.codec.body import PROTOCOL


def reduce_exception(error: BaseException, *, other_way: bool = False) -> Any:
    """The reduction of `error`, or NotImplemented where pickle's own is the one to take.

    Args:
        error: the exception.
        other_way: where both ways are thinkable, take the one that is not preferred.
    """
    cls: Any = type(error)
    registered = copyreg.dispatch_table.get(cls)
    if registered is not None and registered is not copyreg.dispatch_table.get(Exception):
        return NotImplemented
    # tblib, which dask and others install, registers one function for all exceptions there are, which loses
    # what classes in C keep outside of args.
    plain = NotImplemented if registered is None else error.__reduce_ex__(PROTOCOL)
    if cls.__module__ == "builtins" or _says_itself(cls):
        return plain
    has_new = isinstance(cls.__new__, FunctionType)
    slots = _slots(error)
    # Whoever wrote a __new__ may count on its being called.
    if not (slots or has_new or isinstance(cls.__init__, FunctionType)) or has_new is not other_way:
        return plain
    base = _base(cls)
    _, args, *state = base.__reduce__(error)
    if not slots and cls.__setattr__ is BaseException.__setattr__:
        return _rebuild_exception, (cls, base, args), *state
    attributes = state[0] if state else None
    return _rebuild_exception, (cls, base, args), (attributes, slots), None, None, _restore


def _says_itself(cls: Any) -> bool:
    return isinstance(cls.__reduce__, FunctionType) or isinstance(cls.__reduce_ex__, FunctionType)


def may_not_rebuild(error: BaseException) -> bool:
    """Whether rebuilding `error` may fail, apart from what it carries, so that it is worth a trial."""
    cls: Any = type(error)
    if cls.__module__ == "builtins":
        return isinstance(error, BaseExceptionGroup)
    # Fields of its own: what is written in C checks what it is given.
    has_fields = _base(cls).__basicsize__ != BaseException.__basicsize__
    return has_fields or isinstance(cls.__new__, FunctionType) or isinstance(cls.__setstate__, FunctionType)


def _base(cls: type[BaseException]) -> Any:
    """The base of `cls` that is written in C."""
    bases: list[Any] = list(cls.__mro__)
    return next(
        each
        for each in bases
        if not isinstance(each.__init__, FunctionType) and not isinstance(each.__new__, FunctionType)
    )


def _slots(error: BaseException) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for cls in type(error).__mro__:
        if cls.__module__ == "builtins":  # and so are those behind it
            break
        members = vars(cls)
        if "__slots__" not in members:
            continue
        for name, member in members.items():
            if isinstance(member, MemberDescriptorType):
                try:
                    found.setdefault(name, member.__get__(error))
                except AttributeError:  # not set
                    continue
    return found


def _rebuild_exception(cls: type[BaseException], base: Any, args: tuple[Any, ...]) -> Any:
    error = base.__new__(cls, *args)
    base.__init__(error, *args)
    return error


def _restore(error: BaseException, state: tuple[Any, dict[str, Any]]) -> None:
    attributes, slots = state
    if attributes:
        restore: Any = type(error).__setstate__
        if isinstance(restore, FunctionType):
            restore(error, attributes)
            _set(error, "__notes__", attributes)
        else:
            for name in attributes:
                _set(error, name, attributes)
    for name in slots:
        _set(error, name, slots)


def _set(error: BaseException, name: str, values: dict[str, Any]) -> None:
    if name not in values:
        return
    try:
        # Past a __setattr__ of the class: frozen ones have one that always raises.
        BaseException.__setattr__(error, name, values[name])
    except AttributeError:  # a property without setter stands before what it hides
        error.__dict__[name] = values[name]
