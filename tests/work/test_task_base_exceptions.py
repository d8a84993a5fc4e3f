"""BaseExceptions that users' code raises where a pool runs it: one task fails, and all else goes on."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from iris_actor.errors import BrokenWorkerPool, SerializationError
from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from tests.support.gate import Gate, wait_at
from tests.support.waiting import until

KINDS = [SystemExit, KeyboardInterrupt, GeneratorExit, BaseException]


class RaisesAtPickle:
    """Cannot be pickled, in a way that no `except Exception` notices."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        raise self.kind("at pickle")


def raise_it(kind: type[BaseException]) -> None:
    raise kind("at rebuild")


class RaisesAtRebuild:
    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        return raise_it, (self.kind,)


class RaisesInWorkersOnly:
    """Is rebuilt in this process only."""

    def __reduce__(self) -> Any:
        return _exit_elsewhere, (threading.get_native_id(),)


def _exit_elsewhere(_thread: int) -> None:
    sys.exit(3)


class Unshowable(BaseException):
    def __str__(self) -> str:
        raise SystemExit("while it is shown")

    __repr__ = __str__


class Unpicklable(Exception):
    def __reduce__(self) -> Any:
        raise SystemExit("while it is pickled")


def returns(value: Callable[[Any], Any], argument: Any) -> Any:
    return value(argument)


def raise_unpicklable() -> None:
    raise Unpicklable("of the task")


@pytest.fixture
def pool(client: IrisClient) -> Iterator[WorkerPool]:
    with WorkerPool(client, num_workers=1) as pool:
        pool.wait_for_workers(timeout=60)
        yield pool


def is_as_before(pool: WorkerPool, before: set[int]) -> bool:
    assert pool.submit(abs, -1).result(30) == 1
    return {info.pid for info in pool.status().worker_infos} == before


def pids(pool: WorkerPool) -> set[int]:
    return {info.pid for info in pool.status().worker_infos}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [RaisesAtPickle, RaisesAtRebuild])
def test_an_argument_that_raises_fails_its_task_alone(
    pool: WorkerPool, make: Callable[[Any], Any], kind: type[BaseException]
) -> None:
    before = pids(pool)
    good = [pool.submit(abs, -n) for n in range(5)]
    bad = [pool.submit(id, make(kind)), pool.submit(id, [{"deep": make(kind)}])]
    good += [pool.submit(abs, -n) for n in range(5)]
    for future in bad:
        error = future.exception(30)
        assert isinstance(error, SerializationError)
        assert kind.__name__ in str(error)
    assert [future.result(30) for future in good] == [*range(5), *range(5)]
    assert is_as_before(pool, before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [RaisesAtPickle, RaisesAtRebuild])
def test_a_result_that_raises_fails_its_task_alone(
    pool: WorkerPool, make: Callable[[Any], Any], kind: type[BaseException]
) -> None:
    before = pids(pool)
    bad = pool.submit(returns, make, kind)
    good = [pool.submit(abs, -n) for n in range(5)]
    error = bad.exception(30)
    assert isinstance(error, SerializationError)
    assert kind.__name__ in str(error)
    assert [future.result(30) for future in good] == list(range(5))
    assert is_as_before(pool, before)


@pytest.mark.parametrize("make", [RaisesAtPickle, RaisesAtRebuild])
def test_a_function_whose_variables_raise_fails_its_task_alone(
    pool: WorkerPool, make: Callable[[Any], Any]
) -> None:
    before = pids(pool)
    used = make(GeneratorExit)
    error = pool.submit(lambda: used).exception(30)
    assert isinstance(error, SerializationError)
    assert "GeneratorExit" in str(error)
    assert is_as_before(pool, before)


def test_an_object_that_cannot_be_put_leaves_the_pool_as_it_was(pool: WorkerPool) -> None:
    before = pids(pool)
    with pytest.raises((SerializationError, GeneratorExit), match="at pickle"):
        pool.put(RaisesAtPickle(GeneratorExit))
    shared = pool.put(RaisesAtRebuild(SystemExit))
    for _ in range(2):
        error = pool.submit(id, shared).exception(30)
        assert isinstance(error, SerializationError)
        assert "SystemExit" in str(error)
    assert is_as_before(pool, before)


def test_an_exception_that_cannot_be_pickled_or_shown_is_reported_all_the_same(pool: WorkerPool) -> None:
    before = pids(pool)
    assert "Unpicklable" in str(pool.submit(raise_unpicklable).exception(30))
    assert pool.submit(raise_it, Unshowable).exception(30) is not None
    assert is_as_before(pool, before)


def test_an_initializer_that_exits_breaks_the_pool_with_the_reason(client: IrisClient) -> None:
    for arguments in ((SystemExit,), (RaisesInWorkersOnly(),)):
        with WorkerPool(client, num_workers=1, initializer=raise_it, initargs=arguments) as pool:
            error = pool.submit(abs, -1).exception(30)
            assert isinstance(error, BrokenWorkerPool)
            assert "SystemExit" in str(error)


def test_an_input_that_exits_does_so_where_it_stands(pool: WorkerPool) -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise GeneratorExit("in the input")

    results = pool.map(abs, numbers())
    assert next(results) == 1
    with pytest.raises(GeneratorExit, match="in the input"):
        next(results)
    assert pool.submit(abs, -1).result(30) == 1


class _ExitingHandler(logging.Handler):
    def handle(self, record: logging.LogRecord) -> bool:
        raise SystemExit(f"the log of {record.name}")


def test_callbacks_that_exit_and_logs_that_do_hold_nothing_up(client: IrisClient) -> None:
    handler = _ExitingHandler()
    seen = []
    logging.getLogger().addHandler(handler)
    try:
        with WorkerPool(client, num_workers=2) as pool:
            futures = [pool.submit(abs, -n) for n in range(20)]
            for future in futures:
                future.add_done_callback(sys.exit)
                future.add_done_callback(seen.append)
            assert [future.result(30) for future in futures] == list(range(20))
            assert pool.submit(abs, -1).result(30) == 1
    finally:
        logging.getLogger().removeHandler(handler)


def test_a_callback_of_a_cancelled_future_does_not_keep_the_others_from_being_cancelled(
    pool: WorkerPool, tmp_path: Path
) -> None:
    left = []

    def leave(future: object) -> None:
        left.append(future)
        raise GeneratorExit

    with Gate(tmp_path) as gate:
        running = pool.submit(wait_at, gate.name)
        until(running.running)
        futures = [pool.submit(abs, -n) for n in range(10)]
        for future in futures:
            future.add_done_callback(leave)
        pool.shutdown(wait=False, cancel_futures=True)
        assert left == futures
    pool.shutdown()
    assert running.done()
    assert all(future.cancelled() for future in futures)


def test_records_that_a_factory_of_the_users_refuses_do_not_stop_the_output(
    client: IrisClient, capfd: pytest.CaptureFixture[str]
) -> None:
    original = logging.getLogRecordFactory()

    def factory(*_args: Any, **_kwargs: Any) -> logging.LogRecord:
        raise SystemExit("no records today")

    with WorkerPool(client, num_workers=1) as pool:
        pool.submit(abs, -1).result(30)
        logging.setLogRecordFactory(factory)
        try:
            pool.submit(_log_and_print).result(30)
            pool.submit(print, "and more").result(30)
            pool.shutdown()
        finally:
            logging.setLogRecordFactory(original)
    shown = capfd.readouterr().out
    assert "[worker-0] text" in shown
    assert "[worker-0] and more" in shown


def _log_and_print() -> None:
    logging.getLogger("app").warning("a record")
    print("text")
