"""Objects that are put into a pool once and used by many tasks."""

from __future__ import annotations

import gc
import os
import pickle
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iris_actor.errors import SerializationError
from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from tests.support.waiting import until


class Counted:
    """Notes each time it is rebuilt, with the process that did it."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        with self.log.open("a") as file:
            file.write(f"{os.getpid()}\n")


def pid_of(counted: Counted, _number: int) -> int:
    assert isinstance(counted, Counted)
    return os.getpid()


def alive_in_worker() -> int:
    gc.collect()
    return sum(isinstance(each, Counted) for each in gc.get_objects())


@pytest.fixture
def pool(client: IrisClient) -> Iterator[WorkerPool]:
    with WorkerPool(client, num_workers=2) as pool:
        pool.wait_for_workers(timeout=30)
        yield pool


def test_a_task_gets_the_object_and_each_worker_gets_it_once(pool: WorkerPool, tmp_path: Path) -> None:
    handle = pool.put(Counted(tmp_path / "log"))
    pids = {future.result(30) for future in [pool.submit(pid_of, handle, n) for n in range(400)]}
    assert len(pids) == 2
    assert sorted((tmp_path / "log").read_text().split()) == sorted(map(str, pids))


def test_a_handle_may_stand_anywhere_in_the_arguments_and_in_a_closure(pool: WorkerPool) -> None:
    handle = pool.put([1, 2, 3])

    def closure(nested: dict[str, list[Any]], *, key: Any) -> list[list[int]]:
        return [handle, nested["x"][0], key]

    assert pool.submit(closure, {"x": [handle]}, key=handle).result(30) == [[1, 2, 3]] * 3


def test_map_initial_arguments_and_partials_take_handles(pool: WorkerPool) -> None:
    import functools

    table = pool.put({n: n * n for n in range(100)})
    assert list(pool.map(functools.partial(dict.get, table), range(100))) == [n * n for n in range(100)]
    assert list(pool.map(dict.get, [table] * 100, range(100), chunksize=7)) == [n * n for n in range(100)]


def test_a_handle_inside_another_shared_object_arrives_as_its_object(pool: WorkerPool) -> None:
    inner = pool.put((1, 2))
    outer = pool.put({"inner": inner, "twice": [inner, inner]})
    del inner
    gc.collect()
    for _ in range(3):
        assert pool.submit(dict.copy, outer).result(30) == {"inner": (1, 2), "twice": [(1, 2)] * 2}


def test_it_is_a_snapshot_and_large_arrays_in_it_are_read_only(pool: WorkerPool) -> None:
    array = np.arange(200_000, dtype=np.float64)
    handle = pool.put(array)
    array[:] = -1.0
    assert pool.submit(np.sum, handle).result(30) == pytest.approx(200_000 * 199_999 / 2)

    def spoil(values: Any) -> None:
        values[0] = 5.0

    with pytest.raises(ValueError, match="read-only"):
        pool.submit(spoil, handle).result(30)


def test_a_replacement_of_a_lost_worker_gets_it_too(client: IrisClient, tmp_path: Path) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        handle = pool.put(Counted(tmp_path / "log"))
        first = pool.submit(pid_of, handle, 0).result(30)
        os.kill(first, 9)
        until(lambda: pool.status().worker_infos[0].restarts)
        second = pool.submit(pid_of, handle, 1).result(30)
        assert first != second
        assert (tmp_path / "log").read_text().split() == [str(first), str(second)]


def test_workers_drop_their_copy_when_handle_and_tasks_are_gone(client: IrisClient, tmp_path: Path) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        handle = pool.put(Counted(tmp_path / "log"))
        futures = [pool.submit(pid_of, handle, n) for n in range(20)]
        reference = weakref.ref(handle)
        del handle  # the tasks keep it
        assert len({future.result(30) for future in futures}) == 1
        gc.collect()
        assert reference() is None
        until(lambda: pool.submit(alive_in_worker).result(30) == 0)


def test_an_object_that_does_not_pickle_is_refused_at_once(pool: WorkerPool) -> None:
    with pytest.raises(SerializationError, match="cannot pickle"):
        pool.put(number for number in range(3))


def test_a_handle_of_another_pool_is_refused(pool: WorkerPool, client: IrisClient) -> None:
    with WorkerPool(client, num_workers=1) as other:
        mine, foreign = pool.put([1]), other.put([2])
        with pytest.raises(SerializationError, match="put into another pool"):
            pool.submit(len, foreign).result(30)
        assert pool.submit(len, mine).result(30) == 1


def test_a_handle_does_not_pickle_outside_a_task(pool: WorkerPool) -> None:
    handle = pool.put([1])
    assert "Shared list" in repr(handle)
    with pytest.raises(TypeError, match="does not pickle by itself"):
        pickle.dumps(handle)


def test_nothing_can_be_put_into_a_pool_that_was_shut_down(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        pass
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.put(1)


def test_a_class_of_a_module_that_workers_lack_travels_in_a_shared_object(finish, tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "only_driver.py").write_text(
        "class Table(dict):\n    def look(self, key):\n        return self[key] * 2\n"
    )
    code, out, err = finish(
        """
        import importlib.util, sys
        spec = importlib.util.spec_from_file_location("only_driver", "hidden/only_driver.py")
        only_driver = importlib.util.module_from_spec(spec)
        sys.modules["only_driver"] = only_driver
        spec.loader.exec_module(only_driver)
        from iris_actor import WorkerPool

        def look(table, key):
            return table.look(key)

        if __name__ == "__main__":
            with WorkerPool(num_workers=2) as pool:
                table = pool.put(only_driver.Table({n: n for n in range(100)}))
                print(sum(future.result(30) for future in [pool.submit(look, table, n) for n in range(100)]))
        """
    )
    assert (code, out.strip()) == (0, "9900"), err
