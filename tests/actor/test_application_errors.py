"""What a method raises reaches the caller as it is, once, and is never retried."""

from __future__ import annotations

import asyncio
import subprocess
import threading

import pytest

from iris_actor.errors import (
    ConnectionLostError,
    DeadlineExceededError,
    RemoteError,
    RemoteTraceback,
    ServerUnavailableError,
)
from tests.support.lab import Lab
from tests.support.processes import ServerProcess
from tests.support.serving import hosting, lookup_at


class Custom(Exception):
    def __init__(self, code: int, *, where: str) -> None:
        super().__init__(f"{code} at {where}")
        self.code = code
        self.where = where


class Failing:
    def __init__(self) -> None:
        self.runs = 0

    def fail(self, error: BaseException) -> None:
        self.runs += 1
        raise error

    async def fail_async(self, error: BaseException) -> None:
        self.runs += 1
        await asyncio.sleep(0)
        raise error

    def custom(self) -> None:
        raise Custom(3, where="there")

    def unpicklable(self) -> None:
        error = ValueError("with a lock")
        error.lock = threading.Lock()
        raise error

    def group(self) -> None:
        raise ExceptionGroup("several", [ValueError("a"), Custom(1, where="b")])

    def chained(self) -> None:
        try:
            raise KeyError("the reason")
        except KeyError as reason:
            raise ValueError("the outcome") from reason

    def fine(self) -> str:
        return "fine"


@pytest.fixture
def hosted():
    actor = Failing()
    with hosting(actor) as hosted:
        hosted.actor = actor
        yield hosted


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("mine"),
        ConnectionResetError("mine"),
        TimeoutError("mine"),
        RuntimeError("mine"),
        OSError(5, "mine"),
        ServerUnavailableError.of("other/actor.method", "mine"),
        ConnectionLostError.of("other/actor.method", "mine"),
        DeadlineExceededError.of("other/actor.method", "mine"),
        KeyboardInterrupt(),
        SystemExit(3),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("method", ["fail", "fail_async"])
@pytest.mark.parametrize("idempotent", [False, True])
def test_an_exception_of_any_class_is_raised_once_and_not_retried(hosted, error, method, idempotent):
    with pytest.raises(type(error)) as caught:
        getattr(hosted.pool.call(timeout=10, idempotent=idempotent), method)(error)
    assert type(caught.value) is type(error)
    assert caught.value.args == error.args
    assert hosted.actor.runs == 1
    assert hosted.pool.call().fine() == "fine"


def test_an_exception_has_the_remote_traceback_as_its_cause(hosted):
    with pytest.raises(ValueError, match="outcome") as caught:
        hosted.pool.call().chained()
    cause = caught.value.__cause__
    assert isinstance(cause, RemoteTraceback)
    assert "in chained" in cause.text
    assert "the reason" in cause.text
    assert "hosted_actor.py" not in cause.text, "the framework's own frames are noise"


def test_an_exception_with_a_custom_init_arrives_as_itself(hosted):
    with pytest.raises(Custom, match="3 at there") as caught:
        hosted.pool.call().custom()
    assert (caught.value.code, caught.value.where) == (3, "there")


def test_an_exception_that_cannot_be_pickled_arrives_as_a_remote_error(hosted):
    with pytest.raises(RemoteError) as caught:
        hosted.pool.call().unpicklable()
    assert caught.value.type_name == "ValueError"
    assert caught.value.message == "with a lock"
    assert "in unpicklable" in caught.value.traceback
    assert hosted.pool.call().fine() == "fine"


def test_an_exception_group_arrives_whole(hosted):
    with pytest.raises(ExceptionGroup) as caught:
        hosted.pool.call().group()
    assert [type(error) for error in caught.value.exceptions] == [ValueError, Custom]


def test_a_future_gives_the_exception_without_raising_it(hosted):
    future = hosted.pool.submit().custom()
    assert isinstance(future.exception(5), Custom)
    assert future.exception() is future.exception()


async def test_an_exception_reaches_a_coroutine(hosted):
    with pytest.raises(Custom) as caught:
        await hosted.pool.acall().custom()
    assert isinstance(caught.value.__cause__, RemoteTraceback)


def test_an_exception_whose_class_the_caller_lacks_arrives_as_a_remote_error(tmp_path):
    (tmp_path / "only_there.py").write_text("class FarError(Exception):\n    pass\n")

    def fail(folder):
        import sys

        sys.path.insert(0, folder)
        import only_there

        raise only_there.FarError("from afar")

    with ServerProcess() as server:
        pool = lookup_at(server.address)
        with pytest.raises(RemoteError, match=r"only_there\.FarError: from afar") as caught:
            pool.call(timeout=20).run(fail, str(tmp_path))
        assert caught.value.type_name == "only_there.FarError"
        assert 'raise only_there.FarError("from afar")' in caught.value.traceback
        assert pool.call(timeout=20).echo(1) == 1


def test_an_exception_raised_in_another_process_keeps_its_attributes():
    def fail():
        raise subprocess.CalledProcessError(7, ["cmd"], output="out")

    with ServerProcess() as server:
        with pytest.raises(subprocess.CalledProcessError) as caught:
            lookup_at(server.address).call(timeout=20).run(fail)
    assert (caught.value.returncode, caught.value.output) == (7, "out")


def test_an_exception_as_a_value_is_a_value():
    with hosting(Lab()) as hosted:
        value = hosted.pool.call().echo(Custom(1, where="here"))
    assert isinstance(value, Custom)
    assert value.code == 1
