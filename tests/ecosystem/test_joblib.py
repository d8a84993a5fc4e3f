"""The joblib backend "iris", below scikit-learn's tests of it."""

from __future__ import annotations

import functools
import inspect
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import psutil
import pytest
from joblib import Parallel, delayed, parallel_backend, parallel_config

import iris_actor.integrations.joblib as iris_joblib
from iris_actor import WorkerPool
from iris_actor.errors import RemoteTraceback
from tests.support.processes import run_script
from tests.support.waiting import PATIENCE, until

takes_options = pytest.mark.skipif(
    "backend_kwargs" not in inspect.signature(Parallel).parameters,
    reason="Parallel takes options of its backend from joblib 1.5 on",
)


@pytest.fixture
def own_workers() -> Iterator[None]:
    """For tests in which the backend starts workers of its own: ends them."""
    yield
    iris_joblib.shutdown_workers()


def square(number: int) -> int:
    return number * number


def pid_after(path: Path, count: int) -> int:
    """This process, once `count` calls of it run at the same time."""
    (path / f"{os.getpid()}").touch()
    until(lambda: len(list(path.iterdir())) >= count)
    return os.getpid()


def fail_at(number: int, wrong: int) -> int:
    if number == wrong:
        raise KeyError(f"number {number}")
    return number


def block() -> None:
    """Does not return while the test runs."""
    time.sleep(PATIENCE * 4)


def hold(gate: Path, number: int) -> int:
    """Returns once `gate` is there."""
    until(gate.exists)
    return number


def nested_level(number: int) -> list[tuple[str, int]]:
    """Backends of a Parallel inside this call and one inside that, and their processes."""

    def here() -> tuple[str, int]:
        backend, _ = joblib.parallel.get_active_backend()
        return type(backend).__name__, os.getpid()

    inner = Parallel(n_jobs=2)(delayed(here)() for _ in range(2))
    return [here(), *inner]


def test_parallel_config_with_a_pool_uses_that_pool_and_leaves_it_open(pool: WorkerPool, tmp_path: Path):
    with parallel_config(backend="iris", pool=pool):
        pids = set(Parallel()(delayed(pid_after)(tmp_path, 2) for _ in range(2)))
    assert pids == {info.pid for info in pool.status().worker_infos}
    assert pool.submit(square, 3).result(20) == 9


def test_parallel_backend_with_a_pool_uses_that_pool(pool: WorkerPool, tmp_path: Path):
    with parallel_backend("iris", pool=pool):
        pids = set(Parallel()(delayed(pid_after)(tmp_path, 2) for _ in range(2)))
    assert pids == {info.pid for info in pool.status().worker_infos}


@pytest.mark.usefixtures("own_workers")
def test_parallel_without_a_pool_starts_as_many_workers_as_jobs_and_keeps_them(tmp_path: Path):
    def pids(folder: str, count: int) -> set[int]:
        (tmp_path / folder).mkdir()
        return set(
            Parallel(n_jobs=count, backend="iris", batch_size=1)(
                delayed(pid_after)(tmp_path / folder, count) for _ in range(count)
            )
        )

    first = pids("first", 2)
    assert len(first) == 2
    assert pids("second", 2) == first
    third = pids("third", 3)
    assert len(third) == 3
    assert not third & first
    until(lambda: not any(psutil.pid_exists(pid) for pid in first))
    iris_joblib.shutdown_workers()
    assert not any(psutil.pid_exists(pid) for pid in third)


@pytest.mark.usefixtures("own_workers")
def test_workers_that_were_kept_in_vain_go_and_come_back_when_needed(tmp_path: Path):
    def pids(folder: str) -> set[int]:
        (tmp_path / folder).mkdir()
        calls = [delayed(pid_after)(tmp_path / folder, 2) for _ in range(2)]
        with parallel_config(backend="iris", idle_worker_timeout=0.1):
            return set(Parallel(n_jobs=2, batch_size=1)(calls))

    first = pids("first")
    until(lambda: not any(psutil.pid_exists(pid) for pid in first))
    assert len(pids("second")) == 2


PROGRAM = """
import os
from joblib import Parallel, delayed
import iris_actor.integrations.joblib

if __name__ == "__main__":
    print(*Parallel(n_jobs=2, backend="iris")(delayed(os.getpid)() for _ in range(50)))
"""


def test_workers_that_are_kept_end_with_the_program():
    pids = [int(pid) for pid in run_script(PROGRAM).split()]
    assert len(pids) == 50
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


@pytest.mark.usefixtures("own_workers")
def test_inner_max_num_threads_limits_the_libraries_in_workers_of_the_backend():
    with parallel_config(backend="iris", n_jobs=2, inner_max_num_threads=3):
        threads = Parallel()(delayed(os.getenv)("OMP_NUM_THREADS") for _ in range(2))
    assert threads == ["3", "3"]


def test_inner_max_num_threads_is_refused_for_a_pool_that_exists(pool: WorkerPool):
    with parallel_config(backend="iris", pool=pool, inner_max_num_threads=3):
        with pytest.raises(ValueError, match="env="):
            Parallel()(delayed(square)(number) for number in range(2))


def test_something_else_than_a_pool_is_refused():
    with pytest.raises(TypeError, match="pool must be a WorkerPool"):
        parallel_config(backend="iris", pool=4)


def test_the_number_of_jobs_follows_joblibs_rules(pool: WorkerPool):
    own = iris_joblib.IrisBackend(nesting_level=0)
    given = iris_joblib.IrisBackend(pool, nesting_level=0)
    assert own.effective_n_jobs(-1) == own.effective_n_jobs(None) == joblib.cpu_count()
    assert own.effective_n_jobs(7) == 7
    assert own.effective_n_jobs(-1000) == 1
    assert [given.effective_n_jobs(n) for n in (None, -1, -2, 1, 2, 64)] == [2, 2, 1, 1, 2, 2]
    for backend in (own, given):
        with pytest.raises(ValueError, match="n_jobs == 0"):
            backend.effective_n_jobs(0)


def test_one_job_runs_in_this_process(pool: WorkerPool):
    with parallel_config(backend="iris", pool=pool, n_jobs=1):
        assert Parallel()(delayed(os.getpid)() for _ in range(3)) == [os.getpid()] * 3


def test_lambdas_closures_and_partials_may_be_called(pool: WorkerPool):
    offset = 5
    with parallel_config(backend="iris", pool=pool):
        assert Parallel()(delayed(lambda x: x + offset)(n) for n in range(20)) == list(range(5, 25))
        assert Parallel()(delayed(functools.partial(pow, 2))(n) for n in range(9)) == [2**n for n in range(9)]


def test_thousands_of_tiny_calls_come_back_in_order(pool: WorkerPool):
    with parallel_config(backend="iris", pool=pool):
        assert Parallel()(delayed(square)(n) for n in range(5000)) == [n * n for n in range(5000)]


def test_an_error_in_a_call_arrives_with_its_remote_traceback(pool: WorkerPool):
    with parallel_config(backend="iris", pool=pool):
        with pytest.raises(KeyError, match="number 30") as caught:
            Parallel()(delayed(fail_at)(number, 30) for number in range(1000))
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "in fail_at" in str(caught.value.__cause__)


def test_after_an_error_no_more_calls_are_handed_out(pool: WorkerPool, tmp_path: Path):
    gate = tmp_path / "gate"
    taken: list[int] = []

    def calls():
        for number in range(100):
            taken.append(number)
            yield delayed(hold)(gate, number) if number else delayed(fail_at)(0, 0)

    with parallel_config(backend="iris", pool=pool, n_jobs=2):
        with pytest.raises(KeyError):
            Parallel(batch_size=1, pre_dispatch="2 * n_jobs")(calls())
    assert taken == [0, 1, 2, 3]
    assert pool.status().tasks.queued == 0
    gate.touch()
    until(lambda: pool.status().workers.idle == 2)
    assert taken == [0, 1, 2, 3]


def test_an_error_in_the_generator_of_calls_arrives(pool: WorkerPool):
    def calls():
        yield from (delayed(square)(number) for number in range(10))
        raise LookupError("no more numbers")

    with parallel_config(backend="iris", pool=pool):
        with pytest.raises(LookupError, match="no more numbers"):
            Parallel()(calls())


def test_a_result_that_does_not_pickle_is_an_error(pool: WorkerPool):
    with parallel_config(backend="iris", pool=pool):
        with pytest.raises(TypeError, match="lock"):
            Parallel()(delayed(threading.Lock)() for _ in range(4))


def test_a_pool_that_was_shut_down_is_an_error():
    with WorkerPool(num_workers=2) as closed:
        pass
    with parallel_config(backend="iris", pool=closed):
        with pytest.raises(RuntimeError, match="after shutdown"):
            Parallel()(delayed(square)(number) for number in range(10))


@pytest.mark.usefixtures("own_workers")
def test_a_call_over_its_timeout_raises_and_its_worker_is_ended(tmp_path: Path):
    pids = Parallel(n_jobs=2, backend="iris")(delayed(pid_after)(tmp_path, 2) for _ in range(2))
    with pytest.raises(multiprocessing.TimeoutError):
        Parallel(n_jobs=2, backend="iris", timeout=1.0)(delayed(block)() for _ in range(2))
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    assert Parallel(n_jobs=2, backend="iris")(delayed(square)(n) for n in range(3)) == [0, 1, 4]


def test_results_come_one_by_one_from_a_generator(pool: WorkerPool, tmp_path: Path):
    gate = tmp_path / "gate"
    gates = [tmp_path, tmp_path, gate, gate]
    with parallel_config(backend="iris", pool=pool):
        results = Parallel(return_as="generator", batch_size=1)(
            delayed(hold)(path, number) for number, path in enumerate(gates)
        )
        assert [next(results), next(results)] == [0, 1]
        gate.touch()
        assert list(results) == [2, 3]


def test_results_come_in_order_of_completion_from_an_unordered_generator(pool: WorkerPool, tmp_path: Path):
    gate = tmp_path / "gate"
    with parallel_config(backend="iris", pool=pool):
        results = Parallel(return_as="generator_unordered", batch_size=1)(
            delayed(hold)(path, number) for number, path in enumerate([gate, tmp_path, tmp_path])
        )
        assert {next(results), next(results)} == {1, 2}
        gate.touch()
        assert list(results) == [0]


def test_two_generators_of_one_config_do_not_mix(pool: WorkerPool):
    with parallel_config(backend="iris", pool=pool):
        squares = Parallel(return_as="generator")(delayed(square)(n) for n in range(50))
        cubes = Parallel(return_as="generator")(delayed(pow)(n, 3) for n in range(50))
        mixed = list(zip(squares, cubes, strict=True))
    assert mixed == [(n**2, n**3) for n in range(50)]


def test_a_generator_that_is_dropped_cancels_what_has_not_started(pool: WorkerPool, tmp_path: Path):
    gate = tmp_path / "gate"
    with parallel_config(backend="iris", pool=pool):
        results = Parallel(return_as="generator", batch_size=1, pre_dispatch="all")(
            delayed(hold)(gate, number) for number in range(50)
        )
        until(lambda: pool.status().tasks.running >= 2)
        with pytest.warns(UserWarning, match="cancelled"):
            results.close()
        assert pool.status().tasks.queued == 0
    gate.touch()
    until(lambda: pool.status().workers.idle == 2)


def test_a_parallel_inside_a_call_starts_no_pool(pool: WorkerPool):
    with parallel_config(backend="iris", pool=pool):
        levels = Parallel()(delayed(nested_level)(number) for number in range(4))
    for outer, *inner in levels:
        assert outer[0] == "ThreadingBackend"
        assert {name for name, _ in inner} == {"SequentialBackend"}
        assert {pid for _, pid in inner} == {outer[1]}


def test_a_parallel_that_asks_for_iris_inside_a_call_runs_in_that_worker(pool: WorkerPool):
    def inner(number: int) -> set[int]:
        return {os.getpid(), *Parallel(n_jobs=4, backend="iris")(delayed(os.getpid)() for _ in range(4))}

    with parallel_config(backend="iris", pool=pool):
        assert {len(pids) for pids in Parallel()(delayed(inner)(number) for number in range(4))} == {1}


def test_progress_messages_name_the_backend(pool: WorkerPool, capfd: pytest.CaptureFixture[str]):
    with parallel_config(backend="iris", pool=pool, verbose=20):
        Parallel()(delayed(square)(number) for number in range(20))
    assert "Using backend IrisBackend with 2 concurrent workers" in capfd.readouterr().err


def test_a_large_array_is_the_same_in_every_call_and_read_only(pool: WorkerPool):
    def look(array: np.ndarray, number: int) -> tuple[float, bool]:
        return float(array[number]), array.flags.writeable

    array = np.arange(200_000.0)
    with parallel_config(backend="iris", pool=pool):
        seen = Parallel(batch_size=1)(delayed(look)(array, number) for number in range(20))
        assert seen == [(float(number), False) for number in range(20)]
        small = Parallel(batch_size=1)(delayed(look)(array[:100], number) for number in range(20))
        assert small == [(float(number), True) for number in range(20)]


def test_a_large_array_that_is_replaced_by_another_is_not_taken_for_it(pool: WorkerPool):
    def first_item(array: np.ndarray) -> float:
        return float(array[0])

    with parallel_config(backend="iris", pool=pool):
        calls = (delayed(first_item)(np.full(200_000, number)) for number in range(30))
        assert Parallel(batch_size=1)(calls) == list(range(30))


def test_without_max_nbytes_a_large_array_is_each_calls_own(pool: WorkerPool):
    def spoil(array: np.ndarray) -> float:
        array += 1
        return float(array[0])

    array = np.zeros(200_000)
    with parallel_config(backend="iris", pool=pool, max_nbytes=None):
        assert Parallel(batch_size=1)(delayed(spoil)(array) for _ in range(10)) == [1.0] * 10


# --- options of joblib's own backends -------------------------------------------------------------------


def set_mode(mode: str, *_more: object) -> None:
    os.environ["JOBLIB_TEST_MODE"] = mode


def mode(_number: int) -> str | None:
    return os.environ.get("JOBLIB_TEST_MODE")


def modes(**options: object) -> set[str | None]:
    return set(Parallel(n_jobs=2, **options)(delayed(mode)(n) for n in range(6)))


@takes_options
@pytest.mark.usefixtures("own_workers")
def test_an_initializer_prepares_the_workers_that_the_backend_starts():
    assert modes(backend="iris", initializer=set_mode, initargs=("of Parallel",)) == {"of Parallel"}
    with parallel_config(backend="iris", initializer=set_mode, initargs=("of the config",)):
        assert modes() == {"of the config"}
        assert modes(initializer=set_mode, initargs=("of Parallel",)) == {"of Parallel"}
    assert modes(backend="iris") == {None}


@takes_options
@pytest.mark.usefixtures("own_workers")
def test_workers_are_kept_for_the_same_initializer_only():
    def workers(*arguments: object) -> set[int]:
        options = {"initializer": set_mode, "initargs": arguments}
        return set(Parallel(n_jobs=2, backend="iris", **options)(delayed(os.getpid)() for _ in range(20)))

    first = workers("a", np.arange(3))
    assert workers("a", np.arange(3)) & first
    assert not workers("a", np.arange(4)) & first


@takes_options
@pytest.mark.parametrize("option", ["initializer", "initargs", "idle_worker_timeout"])
def test_what_is_for_workers_of_the_backend_is_refused_for_a_pool_that_exists(pool: WorkerPool, option: str):
    value = {"initializer": set_mode, "initargs": ("x",), "idle_worker_timeout": 3}[option]
    with (
        parallel_config(backend="iris", pool=pool),
        pytest.raises(ValueError, match=f"{option} is for workers that the backend starts"),
    ):
        Parallel(n_jobs=2, **{option: value})(delayed(square)(n) for n in range(3))
    assert pool.submit(square, 3).result(20) == 9


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mmap_mode": "r+"}, r"does not take mmap_mode='r\+'"),
        ({"mmap_mode": "w+"}, r"does not take mmap_mode='w\+'"),
        pytest.param({"prewarm": True}, "has no option 'prewarm'", marks=takes_options),
        pytest.param({"env": {"A": "b"}}, "does not take env: set it in os.environ", marks=takes_options),
    ],
)
def test_options_that_cannot_be_honoured_are_refused_by_name(options: dict[str, object], says: str):
    with pytest.raises(ValueError, match=says):
        Parallel(n_jobs=2, backend="iris", **options)(delayed(square)(n) for n in range(3))


@pytest.mark.parametrize(("option", "value"), [("timeout", 3), ("prewarm", True)])
def test_a_config_with_such_an_option_is_refused_too(option: str, value: object):
    with pytest.raises(ValueError, match=option), parallel_config(backend="iris", **{option: value}):
        pass


def write_to(array: np.ndarray) -> float:
    array[0] = 5.0
    return float(array.sum())


def test_arrays_may_be_written_to_in_the_mode_of_copies(pool: WorkerPool):
    array = np.zeros(300_000)
    with parallel_config(backend="iris", pool=pool):
        calls = (delayed(write_to)(array) for _ in range(4))
        assert Parallel(n_jobs=2, mmap_mode="c", max_nbytes=1000)(calls) == [5.0] * 4
    assert array.sum() == 0.0


def test_options_about_files_have_none_to_be_about(pool: WorkerPool, tmp_path: Path):
    with parallel_config(backend="iris", pool=pool, temp_folder=str(tmp_path / "not there")):
        array = np.ones(300_000)
        assert Parallel(n_jobs=2)(delayed(float)(n.sum()) for n in [array] * 3) == [300_000.0] * 3
    assert list(tmp_path.iterdir()) == []
