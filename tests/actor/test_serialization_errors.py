"""What cannot be pickled is a clear error for its call, and for nothing else."""

from __future__ import annotations

import asyncio
import threading

import pytest

from iris_actor.errors import SerializationError
from tests.support.serving import hosting


class Refuses:
    """Cannot be pickled."""

    def __init__(self, error: type[Exception] = TypeError) -> None:
        self.error = error

    def __reduce__(self):
        raise self.error("refuses to be pickled")


def _explode():
    raise LookupError("cannot be rebuilt")


class Unloadable:
    """Pickles, and cannot be rebuilt."""

    def __reduce__(self):
        return _explode, ()


class Maker:
    def __init__(self) -> None:
        self.ran = 0

    def make(self, error: type[Exception]) -> Refuses:
        self.ran += 1
        return Refuses(error)

    async def make_async(self, error: type[Exception]) -> Refuses:
        self.ran += 1
        await asyncio.sleep(0)
        return Refuses(error)

    def unloadable(self) -> Unloadable:
        return Unloadable()

    def nested(self) -> list:
        nested: list = []
        for _ in range(100_000):
            nested = [nested]
        return nested

    def items(self, bad):
        yield 1
        yield bad()
        yield 3

    def take(self, *args, **kwargs) -> str:
        self.ran += 1
        return "taken"


@pytest.fixture
def hosted():
    actor = Maker()
    with hosting(actor) as hosted:
        hosted.actor = actor
        yield hosted
        assert hosted.pool.call(timeout=10).take() == "taken", "the server must keep serving"


@pytest.mark.parametrize("way", ["call", "submit", "acall", "stream", "broadcast"])
def test_an_argument_that_cannot_be_pickled_is_named_before_anything_is_sent(hosted, way):
    take = getattr(hosted.pool, way)().take

    async def ask() -> None:
        await take(1, threading.Lock())

    with pytest.raises(SerializationError, match=r"cannot pickle argument 1 .*lock") as caught:
        _ = asyncio.run(ask()) if way == "acall" else take(1, threading.Lock())
    assert isinstance(caught.value, TypeError)
    assert caught.value.target == "test/actor.take"
    assert not caught.value.may_have_run
    assert hosted.actor.ran == 0


def test_a_keyword_argument_that_cannot_be_pickled_is_named(hosted):
    with pytest.raises(SerializationError, match="cannot pickle argument 'lock'"):
        hosted.pool.call().take(1, lock=threading.Lock())


@pytest.mark.parametrize("error", [TypeError, ValueError, RuntimeError])
@pytest.mark.parametrize("method", ["make", "make_async"])
def test_a_result_that_cannot_be_pickled_is_a_clear_error(hosted, method, error):
    with pytest.raises(SerializationError, match=r"its result.*refuses to be pickled") as caught:
        getattr(hosted.pool.call(timeout=10), method)(error)
    assert caught.value.may_have_run
    assert hosted.actor.ran == 1


def test_a_result_nested_too_deep_is_a_clear_error(hosted):
    with pytest.raises(SerializationError, match="its result"):
        hosted.pool.call(timeout=10).nested()


def test_a_result_that_cannot_be_rebuilt_here_is_a_clear_error(hosted):
    future = hosted.pool.submit().unloadable()
    for ask in (hosted.pool.call(timeout=10).unloadable, lambda: future.result(10)):
        with pytest.raises(SerializationError, match="cannot be rebuilt") as caught:
            ask()
        assert caught.value.may_have_run
    assert isinstance(future.exception(), SerializationError)


async def test_a_result_that_cannot_be_rebuilt_is_a_clear_error_in_asyncio(hosted):
    with pytest.raises(SerializationError, match="cannot be rebuilt"):
        await hosted.pool.acall(timeout=10).unloadable()


def test_an_argument_that_cannot_be_rebuilt_there_is_a_clear_error(hosted):
    with pytest.raises(
        SerializationError, match=r"its arguments: .*LookupError: cannot be rebuilt"
    ) as caught:
        hosted.pool.call(timeout=10).take(Unloadable())
    assert not caught.value.may_have_run
    assert hosted.actor.ran == 0


@pytest.mark.parametrize(("bad", "message"), [(Refuses, "an item of its stream"), (Unloadable, "rebuilt")])
def test_an_item_that_cannot_travel_ends_its_stream_with_a_clear_error(hosted, bad, message):
    stream = hosted.pool.stream(timeout=10).items(bad)
    assert next(stream) == 1
    with pytest.raises(SerializationError, match=message):
        next(stream)
    with pytest.raises(StopIteration):
        next(stream)
