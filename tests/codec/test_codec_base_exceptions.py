"""Whatever the users' code raises while a value is pickled or rebuilt, the value fails, and nothing else."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from iris_actor import codec
from iris_actor.errors import RemoteError, SerializationError


class Odd(BaseException):
    pass


class RefusesToPickle:
    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        raise self.error


class RefusesToRebuild:
    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __setstate__(self, state: dict[str, Any]) -> None:
        raise state["error"]


class BadError(Exception):
    def __reduce__(self) -> Any:
        return _fail, self.args


def _fail(error: type[BaseException]) -> None:
    raise error


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit(2)


RAISED = pytest.mark.parametrize(
    "error",
    [SystemExit, GeneratorExit, asyncio.CancelledError, Odd, KeyboardInterrupt, MemoryError, RecursionError],
)


def in_a_thread(call: Callable[[], Any]) -> BaseException | None:
    """What `call` raises where no Ctrl-C ever arrives."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


def body_of(value: Any) -> codec.Body:
    return codec.Body(pickle.dumps(value, 5))


@RAISED
@pytest.mark.parametrize(
    "call",
    [
        lambda error: codec.dumps([RefusesToPickle(error)]),
        lambda error: codec.dumps((lambda: 1, RefusesToPickle(error))),
        lambda error: codec.dump_arguments("actor.method", (1, RefusesToPickle(error)), {}),
        lambda error: codec.loads(body_of(RefusesToRebuild(error))),
        lambda error: codec.load_result("actor.method", body_of(RefusesToRebuild(error))),
        lambda error: codec.load_arguments(body_of(((RefusesToRebuild(error),), {}))),
    ],
    ids=["dumps", "dumps by value", "dump_arguments", "loads", "load_result", "load_arguments"],
)
def test_what_users_code_raises_is_a_serialization_error_with_that_as_its_cause(
    call: Callable[[type[BaseException]], Any], error: type[BaseException]
) -> None:
    raised = in_a_thread(lambda: call(error))
    assert isinstance(raised, SerializationError)
    assert isinstance(raised.__cause__, error)
    assert error.__name__ in str(raised)


@RAISED
def test_an_exception_whose_rebuilding_raises_is_a_remote_error(error: type[BaseException]) -> None:
    copies: list[BaseException] = []

    def travel(body: Callable[[], codec.Body]) -> BaseException | None:
        return in_a_thread(lambda: copies.append(codec.load_exception(body())))

    assert travel(lambda: codec.dump_exception(BadError(error))) is None
    assert type(copies[0]) is RemoteError
    parts = ("far.BadError", "text", "Traceback", pickle.dumps((pickle.dumps(BadError(error)), []), 5))
    assert travel(lambda: body_of(parts)) is None
    assert type(copies[1]) is RemoteError


def test_an_exception_whose_text_exits_still_arrives() -> None:
    assert type(codec.load_exception(codec.dump_exception(Mute()))) is Mute


def test_what_wants_out_is_not_pickled_a_second_time() -> None:
    attempts = []

    class Leaves:
        def __reduce__(self) -> Any:
            attempts.append(1)
            raise SystemExit(3)

    for call in (
        lambda: codec.dumps([Leaves()]),
        lambda: codec.dump_arguments("actor.method", (Leaves(),), {}),
        lambda: codec.dump_exception(ValueError(Leaves())),
    ):
        attempts.clear()
        in_a_thread(call)
        assert attempts == [1]


def test_a_repr_that_exits_is_left_out_of_the_error() -> None:
    class Rude(RefusesToPickle):
        def __repr__(self) -> str:
            raise SystemExit(2)

    with pytest.raises(SerializationError, match="unprintable"):
        codec.dumps(Rude(TypeError))


@pytest.mark.parametrize(
    "call",
    [
        lambda: codec.dumps([RefusesToPickle(KeyboardInterrupt)]),
        lambda: codec.dump_arguments("actor.method", ([RefusesToPickle(KeyboardInterrupt)],), {}),
        lambda: codec.loads(body_of(RefusesToRebuild(KeyboardInterrupt))),
        lambda: codec.dump_exception(BadError(RefusesToPickle(KeyboardInterrupt))),
    ],
    ids=["dumps", "dump_arguments", "loads", "dump_exception"],
)
def test_ctrl_c_passes_in_the_main_thread(call: Callable[[], Any]) -> None:
    with pytest.raises(KeyboardInterrupt):
        call()


def test_what_does_not_pickle_is_what_code_for_other_executors_catches() -> None:
    with pytest.raises(pickle.PicklingError):
        codec.dumps(threading.Lock())
    with pytest.raises(TypeError):
        codec.dumps(threading.Lock())
    error = SerializationError.of("actor.method", "does not pickle", may_have_run=True)
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, pickle.PicklingError)
    assert (str(copy), copy.may_have_run) == (str(error), True)
