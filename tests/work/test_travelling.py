"""What travels between driver and workers: caches that last, errors that tell, tracebacks with lines."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iris_actor.errors import SerializationError, WorkerLostError
from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from tests.support.waiting import until

Finish = Callable[..., tuple[int, str, str]]


class Bad:
    def __reduce__(self) -> Any:
        raise pickle.PicklingError("not this one")


def make_bad() -> Bad:
    return Bad()


class Slow:
    """Says that it is being pickled, and takes its time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        self.path.write_text(str(os.getpid()))
        threading.Event().wait(30)
        return int, ()


def test_a_cache_and_what_a_class_counts_last_from_task_to_task(finish: Finish) -> None:
    code, out, err = finish("""
        import functools
        from iris_actor import WorkerPool

        class Model:
            used = 0
            def __init__(self, x): self.x = x
            @functools.lru_cache
            def slow(self, y): return self.x * y
            def __hash__(self): return 1
            def __eq__(self, other): return isinstance(other, Model)
            def use(self):
                type(self).used += 1
                return self.slow(2), type(self).used, self.slow.cache_info().hits

        @functools.cache
        def square(n): return n * n

        def look(n): return square(n), square.cache_info().hits

        if __name__ == "__main__":
            with WorkerPool(num_workers=1) as pool:
                print([pool.submit(look, 3).result() for _ in range(3)])
                print(pool.submit(square, 3).result(), square.cache_info().currsize)
                print([pool.submit(Model(4).use).result() for _ in range(3)])
                print(Model.used)
                Model.used = 10
                print(pool.submit(Model(4).use).result()[1])
    """)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "[(9, 0), (9, 1), (9, 2)]",
        "9 0",
        "[(8, 1, 0), (8, 2, 1), (8, 3, 2)]",
        "0",
        "11",
    ]


def test_a_lock_that_a_function_of_main_uses_is_named_in_the_error(finish: Finish) -> None:
    code, out, err = finish("""
        import threading
        from iris_actor import WorkerPool

        guard = threading.Lock()

        def guarded(x):
            with guard:
                return x

        if __name__ == "__main__":
            with WorkerPool(num_workers=1) as pool:
                try:
                    pool.submit(guarded, 1).result()
                except TypeError as error:
                    print(error)
    """)
    assert (code, err) == (0, "")
    assert "'guarded'" in out
    assert "workers do not import __main__, and 'guard' does not pickle" in out


def test_what_does_not_pickle_is_a_pickling_error_for_arguments_and_results(shared_pool: WorkerPool) -> None:
    for future in (shared_pool.submit(id, Bad()), shared_pool.submit(make_bad)):
        with pytest.raises(pickle.PicklingError, match="not this one") as caught:
            future.result(30)
        assert isinstance(caught.value, SerializationError)


def test_a_traceback_shows_the_drivers_file_and_line(finish: Finish, tmp_path: Path) -> None:
    code, out, err = finish("""
        from iris_actor import WorkerPool

        class Ratio:
            def of(self, a, b):
                return a / b  # in a method

        def ratio(a, b):
            return (lambda: Ratio().of(a, b))()  # in a function

        if __name__ == "__main__":
            with WorkerPool(num_workers=1) as pool:
                try:
                    pool.submit(ratio, 1, 0).result()
                except ZeroDivisionError as error:
                    print(error.__cause__)
    """)
    assert (code, err) == (0, "")
    assert f'File "{tmp_path / "driver.py"}", line 6, in of' in out
    assert "return a / b  # in a method" in out
    assert "# in a function" in out


def test_a_worker_that_is_ended_while_it_pickles_a_result_ends_without_a_word(
    client: IrisClient, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flag = tmp_path / "pid"
    with WorkerPool(client, num_workers=1, max_retries=0) as pool:
        future = pool.submit(Slow, flag)
        until(lambda: flag.exists() and flag.read_text())
        os.kill(int(flag.read_text()), signal.SIGTERM)
        error = future.exception(30)
    assert isinstance(error, WorkerLostError)
    # The latter when the pool, which has seen its server end, was first to end the process.
    assert (error.exit_code, error.signal) in {(0, None), (None, "SIGTERM")}
    assert "Traceback" not in error.stderr + capfd.readouterr().err
