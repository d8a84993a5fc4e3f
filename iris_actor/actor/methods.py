"""Methods: the methods of an actor, by their names or by reference, in one of the ways to call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from iris_actor.errors import MethodNotFoundError

Make = Callable[[str], Callable[..., Any]]
"""Makes, for the name of a method, the callable that calls it at the actor."""


class Methods:
    """Gives a callable for each public method name.

    Args:
        actor: full name of the actor, for messages.
        actor_type: class of the actor, where it is known.
        make: makes the callables.
    """

    def __init__(self, actor: str, actor_type: type | None, make: Make) -> None:
        self._actor = actor
        self._actor_type = actor_type
        self._make = make

    def __getattr__(self, name: str) -> Callable[..., Any]:
        check_method(self._actor, self._actor_type, name)
        function = self._make(name)
        self.__dict__[name] = function  # the next look-up does not come here
        return function

    def __repr__(self) -> str:
        return f"<methods of {self._actor}>"


def check_method(actor: str, actor_type: type | None, name: str) -> None:
    """Refuse a name that cannot be a method, before anything is sent.

    Raises:
        MethodNotFoundError: (an AttributeError).
    """
    if name.startswith("_"):
        raise MethodNotFoundError.of(actor, f"{name!r} is private and cannot be called")
    if actor_type is not None and not hasattr(actor_type, name):
        raise MethodNotFoundError.of(actor, f"{actor_type.__name__} has no method {name!r}")


def method_name(actor: str, actor_type: type | None, method: Callable[..., Any]) -> str:
    """The name under which `method`, taken from the actor's class, is called.

    That is the name that the class gives to it, also where a decorator has given another one to the function;
    without the class, the function's own name.

    Raises:
        MethodNotFoundError: (an AttributeError) the class has no such method, or it is private.
        TypeError: for an object without a name.
    """
    function = getattr(method, "__func__", method)
    name = getattr(function, "__name__", None)
    if not isinstance(name, str):
        raise TypeError(f"a method of the actor's class was expected (Class.method), not {method!r}")
    if actor_type is not None and _function(getattr(actor_type, name, None)) is not function:
        names = (given for each in actor_type.__mro__ for given in vars(each))
        name = next((given for given in names if _function(getattr(actor_type, given)) is function), name)
    check_method(actor, actor_type, name)
    return name


def _function(attribute: Any) -> Any:
    return getattr(attribute, "__func__", attribute)
