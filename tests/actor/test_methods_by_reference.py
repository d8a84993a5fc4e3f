"""A method may be given by reference, `pool.call(Model.predict)(x)`, in every way to call."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from iris_actor import ActorPool, ActorServer, FixedResolver
from iris_actor.errors import MethodNotFoundError


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that forgets the name of what it decorates."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Base:
    """What the actor inherits."""

    def inherited(self) -> str:
        return "inherited"


class Model(Base):
    """The actor's class, as its callers know it."""

    def predict(self, x: float, *, scale: float = 1.0) -> float:
        return x * scale

    async def apredict(self, x: float, *, scale: float = 1.0) -> float:
        return x * scale

    def tokens(self, text: str) -> Iterator[str]:
        yield from text.split()

    async def atokens(self, text: str) -> AsyncIterator[str]:
        for word in text.split():
            yield word

    def late(self) -> None:
        raise LookupError("as itself")

    @logged
    def decorated(self) -> str:
        return "decorated"

    @staticmethod
    def static(x: int) -> int:
        return x + 1

    @classmethod
    def of_class(cls) -> str:
        return cls.__name__

    def _private(self) -> None:
        raise AssertionError


class Child(Model):
    """What is served: its method of the same name is the one that runs."""

    def inherited(self) -> str:
        return "overridden"


@pytest.fixture(params=["with its class", "without"])
def pool(request: pytest.FixtureRequest) -> Iterator[ActorPool[Any]]:
    """A pool of one actor, by a handle that knows the class and by one that does not."""
    with ActorServer() as server:
        server.register("model", Child(), max_concurrency=4)
        server.serve_background()
        resolver = FixedResolver({"model": server.address})
        yield resolver.lookup("model", Model if request.param == "with its class" else None)


async def test_each_way_to_call_takes_a_method_by_reference(pool: ActorPool[Model]) -> None:
    assert pool.call(Model.predict)(2.0, scale=3) == 6
    assert pool.call(Model.apredict, timeout=20)(x=2.0) == 2
    assert pool.submit(Model.predict, timeout=20, idempotent=True)(2.0).result(20) == 2
    assert await pool.acall(Model.apredict)(2.0, scale=2) == 4
    assert list(pool.stream(Model.tokens)("a b")) == ["a", "b"]
    assert [token async for token in pool.stream(Model.atokens, timeout=20)("a b")] == ["a", "b"]
    assert [each.result() for each in pool.broadcast(Model.predict)(2.0).wait_all(20)] == [2]
    assert list(pool.map(Model.predict, [1.0, 2.0, 3.0], in_flight=2, timeout=20)(scale=2)) == [2, 4, 6]


def test_exceptions_and_options_are_those_of_a_call_by_name(pool: ActorPool[Model]) -> None:
    with pytest.raises(LookupError, match="as itself"):
        pool.call(Model.late)()
    with pytest.raises(ValueError, match="timeout must not be negative"):
        pool.call(Model.predict, timeout=-1)


def test_a_reference_to_a_base_class_calls_what_the_actor_has_under_that_name(pool: ActorPool[Model]) -> None:
    assert pool.call(Base.inherited)() == "overridden"


def test_static_and_class_methods_may_be_referred_to(pool: ActorPool[Any]) -> None:
    assert pool.call(Model.static)(1) == 2
    assert pool.call(Model.of_class)() == "Child"


def test_where_the_class_is_known_a_decorator_may_have_taken_the_name_away() -> None:
    with ActorServer() as server:
        server.register("model", Child())
        server.serve_background()
        pool = FixedResolver({"model": server.address}).lookup("model", Model)
        assert pool.call(Model.decorated)() == "decorated"


def test_what_cannot_be_called_is_refused_before_anything_is_sent(pool: ActorPool[Any]) -> None:
    with pytest.raises(MethodNotFoundError, match="private"):
        pool.call(Model._private)
    with pytest.raises(TypeError, match=r"Class\.method.* not functools.partial"):
        pool.submit(functools.partial(Model.predict, scale=2))
    with pytest.raises(TypeError, match="timeout must be a number of seconds"):
        pool.call("predict")


def test_a_method_of_another_class_is_refused_where_the_class_is_known() -> None:
    class Other:
        def unknown(self) -> None:
            raise AssertionError

    pool = FixedResolver({"model": "127.0.0.1:1"}).lookup("model", Model)
    with pytest.raises(MethodNotFoundError, match="Model has no method 'unknown'"):
        pool.call(Other.unknown)  # type: ignore[arg-type]


def test_a_timeout_may_still_stand_first(pool: ActorPool[Any]) -> None:
    assert pool.call(20).predict(2.0) == 2
    assert pool.submit(20.0).predict(2.0).result() == 2
    with pytest.raises(TypeError, match="timeout is given twice: 5 and 6"):
        pool.call(5, timeout=6)


@pytest.mark.parametrize("given", [(), (1, 2, 3)])
def test_a_map_says_what_it_takes(pool: ActorPool[Any], given: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="map takes the items"):
        pool.map(*given)
