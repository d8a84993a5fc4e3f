"""What a task raises: it arrives as itself, with its notes, its group, and the text of all that led to it."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from concurrent.futures import CancelledError
from typing import Any

import pytest

from iris_actor.errors import RemoteError, RemoteTraceback, SerializationError
from iris_actor.work.pool.executor.worker_pool import WorkerPool


class Falsy(Exception):
    def __bool__(self) -> bool:
        return False


class Empty(Exception):
    def __len__(self) -> int:
        return 0


class NeedsMore(Exception):
    def __init__(self, code: int, *, hint: str) -> None:
        super().__init__(f"code {code}")
        self.code = code
        self.hint = hint


class HoldsLock(Exception):
    def __init__(self) -> None:
        super().__init__("cannot travel")
        self.lock = threading.Lock()


class ExitsWhenRebuilt:
    def __init__(self, kind: type[BaseException] = SystemExit) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        return throw, (self.kind,)


class RebuiltWithExit(Exception):
    def __reduce__(self) -> Any:
        return throw, (SystemExit,)


def throw(kind: type[BaseException]) -> None:
    raise kind("while it was rebuilt")


def raises(error: BaseException) -> None:
    raise error


def with_notes() -> None:
    error = ValueError("bad cell")
    error.add_note("in row 3")
    error.add_note("of table 7")
    raise error


def group() -> None:
    raise ExceptionGroup("two things", [ValueError("one"), ExceptionGroup("inner", [KeyError("two")])])


def chained() -> None:
    try:
        {}["missing"]
    except KeyError as error:
        raise ValueError("no such cell") from error


def in_passing() -> None:
    try:
        {}["missing"]
    except KeyError:
        raise ValueError("no such cell")  # noqa: B904 - the context is what this is about


def without_cause() -> None:
    try:
        {}["missing"]
    except KeyError:
        raise ValueError("no such cell") from None


def told(pool: WorkerPool, fn: Any) -> tuple[BaseException, str]:
    """What `fn` raised in a worker, and the text that came with it."""
    error = pool.submit(fn).exception(20)
    assert error is not None
    assert isinstance(error.__cause__, RemoteTraceback)
    return error, error.__cause__.text


def test_notes_arrive(shared_pool: WorkerPool) -> None:
    error, text = told(shared_pool, with_notes)
    assert error.__notes__ == ["in row 3", "of table 7"]
    assert "ValueError: bad cell\nin row 3\nof table 7" in text


def test_a_group_arrives_with_all_that_is_in_it(shared_pool: WorkerPool) -> None:
    error, text = told(shared_pool, group)
    assert isinstance(error, ExceptionGroup)
    assert error.message == "two things"
    first, second = error.exceptions
    assert isinstance(first, ValueError)
    assert isinstance(second, ExceptionGroup)
    assert isinstance(second.exceptions[0], KeyError)
    assert "KeyError: 'two'" in text
    caught = []
    try:
        shared_pool.submit(group).result(20)
    except* KeyError as matched:
        caught += matched.exceptions
    except* ValueError as matched:
        caught += matched.exceptions
    assert len(caught) == 2


def test_a_group_of_base_exceptions_arrives(shared_pool: WorkerPool) -> None:
    future = shared_pool.submit(raises, BaseExceptionGroup("stop", [KeyboardInterrupt(), ValueError()]))
    error = future.exception(20)
    assert isinstance(error, BaseExceptionGroup)
    assert [type(each) for each in error.exceptions] == [KeyboardInterrupt, ValueError]


@pytest.mark.parametrize(
    ("fn", "between"),
    [(chained, "was the direct cause of"), (in_passing, "During handling of the above exception")],
)
def test_the_text_has_the_whole_chain(shared_pool: WorkerPool, fn: Any, between: str) -> None:
    error, text = told(shared_pool, fn)
    assert isinstance(error, ValueError)
    assert text.index("KeyError: 'missing'") < text.index(between) < text.index("ValueError: no such cell")


def test_what_the_task_hides_stays_hidden(shared_pool: WorkerPool) -> None:
    _, text = told(shared_pool, without_cause)
    assert "KeyError" not in text.replace("except KeyError:", "")


def test_the_printed_traceback_shows_both_sides(
    shared_pool: WorkerPool, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        shared_pool.submit(with_notes).result(20)
    except ValueError:
        sys.excepthook(*sys.exc_info())
    printed = capsys.readouterr().err
    assert "raise error" in printed, "the line of the worker"
    assert "in with_notes" in printed
    assert "shared_pool.submit(with_notes).result(20)" in printed, "the line of the driver"
    assert printed.index("in with_notes") < printed.index("the direct cause") < printed.rindex("bad cell")


def test_an_exception_of_the_drivers_own_making_is_not_changed_by_the_trip(shared_pool: WorkerPool) -> None:
    original = NeedsMore(7, hint="more coffee")
    error = shared_pool.submit(raises, original).exception(20)
    assert type(error) is NeedsMore
    assert (error.args, error.code, error.hint) == (("code 7",), 7, "more coffee")
    assert error is not original
    assert original.__traceback__ is None
    assert original.__cause__ is None


@pytest.mark.parametrize(
    "kind",
    [
        KeyboardInterrupt,
        SystemExit,
        GeneratorExit,
        asyncio.CancelledError,
        CancelledError,
        StopIteration,
        StopAsyncIteration,
        TimeoutError,
        RecursionError,
        MemoryError,
    ],
)
def test_any_exception_is_the_outcome_of_its_task_and_of_nothing_else(
    shared_pool: WorkerPool, kind: type[BaseException]
) -> None:
    before = {info.pid for info in shared_pool.status().worker_infos}
    future = shared_pool.submit(raises, kind("mine"))
    error = future.exception(20)
    assert type(error) is kind
    assert error.args == ("mine",)
    assert not future.cancelled()
    with pytest.raises(kind):
        future.result(0)
    assert shared_pool.submit(abs, -1).result(20) == 1
    assert {info.pid for info in shared_pool.status().worker_infos} == before


def test_a_recursion_without_end_is_an_error_and_the_worker_serves_on(shared_pool: WorkerPool) -> None:
    def deeper() -> None:
        deeper()

    future = shared_pool.submit(deeper)
    assert isinstance(future.exception(20), RecursionError)
    assert shared_pool.submit(abs, -1).result(20) == 1


@pytest.mark.parametrize("kind", [Falsy, Empty])
def test_exceptions_that_count_as_false_are_raised(shared_pool: WorkerPool, kind: type[Exception]) -> None:
    future = shared_pool.submit(raises, kind("mine"))
    for _ in range(2):
        with pytest.raises(kind, match="mine"):
            future.result(20)


def test_an_exception_that_does_not_pickle_arrives_as_text(shared_pool: WorkerPool) -> None:
    error, text = told(shared_pool, lambda: raises(HoldsLock()))
    assert isinstance(error, RemoteError)
    assert error.type_name.endswith("HoldsLock")
    assert error.message == "cannot travel"
    assert "in raises" in text


def test_an_exception_that_cannot_be_rebuilt_arrives_as_text(shared_pool: WorkerPool) -> None:
    def fail() -> None:
        raise RebuiltWithExit("here")

    error, text = told(shared_pool, fail)
    assert isinstance(error, RemoteError)
    assert error.message == "here"
    assert "in fail" in text
    assert shared_pool.submit(abs, -1).result(20) == 1


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_an_argument_that_exits_while_it_is_rebuilt_fails_its_task_alone(
    shared_pool: WorkerPool, kind: type[BaseException]
) -> None:
    before = {info.pid for info in shared_pool.status().worker_infos}
    error = shared_pool.submit(id, ExitsWhenRebuilt(kind)).exception(20)
    assert isinstance(error, kind | SerializationError)
    assert "while it was rebuilt" in str(error)
    assert shared_pool.submit(abs, -1).result(20) == 1
    assert {info.pid for info in shared_pool.status().worker_infos} == before


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_result_that_exits_while_it_is_rebuilt_fails_its_task_alone(
    shared_pool: WorkerPool, kind: type[BaseException]
) -> None:
    futures = [shared_pool.submit(abs, -1), shared_pool.submit(ExitsWhenRebuilt, kind)]
    futures += [shared_pool.submit(abs, -n) for n in range(20)]
    error = futures.pop(1).exception(20)
    assert isinstance(error, SerializationError)
    assert "while it was rebuilt" in str(error)
    assert [future.result(20) for future in futures] == [1, *range(20)]


def test_tasks_that_raise_the_same_have_exceptions_of_their_own(shared_pool: WorkerPool) -> None:
    errors = [shared_pool.submit(chained).exception(20) for _ in range(3)]
    assert len({id(error) for error in errors}) == 3
    for error in errors:
        with pytest.raises(ValueError, match="no such cell") as caught:
            raises(error)  # type: ignore[arg-type]
        assert len(traceback.extract_tb(caught.value.__traceback__)) == 2


def test_a_pool_or_a_future_as_an_argument_is_refused_and_the_reason_is_given(
    shared_pool: WorkerPool,
) -> None:
    future = shared_pool.submit(abs, -1)
    assert future.result(20) == 1
    for argument, reason in ((shared_pool, "a WorkerPool does not pickle"), (future, "a future does not")):
        for error in (
            shared_pool.submit(id, argument).exception(20),
            shared_pool.submit(lambda held=argument: held).exception(20),
        ):
            assert isinstance(error, SerializationError)
            assert reason in str(error)
