"""Objects of `multiprocessing` in tasks: what works with a ProcessPoolExecutor works here."""

from __future__ import annotations

import multiprocessing as mp
from collections.abc import Callable, Iterator
from multiprocessing.managers import BaseManager, SyncManager
from typing import Any

import pytest

from iris_actor.errors import SerializationError
from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool

Finish = Callable[..., tuple[int, str, str]]


class Counter:
    """Lives in the process of a manager."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, n: int) -> int:
        self.count += n
        return self.count


class CounterManager(BaseManager):
    pass


CounterManager.register("Counter", Counter)


def put(queue: Any, value: Any) -> Any:
    queue.put(value)
    return value


def set_item(mapping: Any, key: Any, value: Any) -> None:
    mapping[key] = value


def increase(lock: Any, namespace: Any) -> None:
    with lock:
        namespace.value += 1


def use_all(tools: dict[str, Any]) -> str:
    tools["event"].wait(20)
    tools["inside"][0].append("from a task")
    return "used"


def give_back(proxy: Any) -> Any:
    return {"the same": [proxy]}


_remembered: list[Any] = []


def remember(queue: Any) -> None:
    _remembered.append(queue)


def put_remembered(value: int) -> int:
    _remembered[0].put(value)
    return value


@pytest.fixture(scope="module")
def manager() -> Iterator[SyncManager]:
    with mp.get_context("spawn").Manager() as manager:
        yield manager


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_proxies_of_a_manager_that_starts_after_the_pool_work(finish: Finish, method: str) -> None:
    code, out, err = finish(f"""
        import multiprocessing as mp
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def put(queue, value):
            queue.put(value)
            return value

        if __name__ == "__main__":
            with WorkerPool(num_workers=1) as pool:
                pool.submit(abs, -1).result()
                with mp.get_context({method!r}).Manager() as manager:
                    queue = manager.Queue()
                    print(pool.submit(put, queue, 5).result(), queue.get())
    """)
    assert (code, out, err) == (0, "5 5\n", "")


def test_proxies_work_wherever_they_stand(shared_pool: WorkerPool, manager: SyncManager) -> None:
    mapping, events, values = manager.dict(), manager.Event(), manager.list()
    list(shared_pool.map(lambda n: set_item(mapping, n, n * n), range(5)))
    assert dict(mapping) == {n: n * n for n in range(5)}
    future = shared_pool.submit(use_all, {"event": events, "inside": [values]})
    events.set()
    assert future.result(30) == "used"
    assert list(values) == ["from a task"]
    returned = shared_pool.submit(give_back, values).result(30)
    assert list(returned["the same"][0]) == ["from a task"]


def test_locks_of_a_manager_exclude_tasks_from_each_other(
    shared_pool: WorkerPool, manager: SyncManager
) -> None:
    lock, namespace = manager.Lock(), manager.Namespace(value=0)
    for future in [shared_pool.submit(increase, lock, namespace) for _ in range(40)]:
        future.result(30)
    assert namespace.value == 40


def test_an_initializer_may_be_given_a_proxy(client: IrisClient, manager: SyncManager) -> None:
    queue = manager.Queue()
    with WorkerPool(client, num_workers=1, initializer=remember, initargs=(queue,)) as pool:
        assert pool.submit(put_remembered, 7).result(30) == 7
    assert queue.get(timeout=20) == 7


def test_types_of_the_users_own_managers_work(shared_pool: WorkerPool) -> None:
    with CounterManager(ctx=mp.get_context("spawn")) as manager:
        counter: Any = manager.Counter()  # type: ignore[attr-defined]
        futures = [shared_pool.submit(counter.add, 1) for _ in range(10)]
        assert sorted(future.result(30) for future in futures) == list(range(1, 11))


def test_what_only_children_of_multiprocessing_inherit_says_so(shared_pool: WorkerPool) -> None:
    for thing in (mp.get_context("spawn").Queue(), mp.get_context("spawn").Lock()):
        error = shared_pool.submit(id, thing).exception(30)
        assert isinstance(error, SerializationError)
        assert "should only be shared between processes through inheritance" in str(error)
        if hasattr(thing, "close"):
            thing.close()


def test_shared_memory_outlives_the_workers_that_used_it(finish: Finish) -> None:
    code, out, err = finish("""
        from multiprocessing.shared_memory import SharedMemory
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def first_byte(memory):
            by_name = SharedMemory(name=memory.name)
            by_name.close()
            return memory.buf[0]

        if __name__ == "__main__":
            with WorkerPool(num_workers=1) as pool:
                pool.submit(abs, -1).result()
                memory = SharedMemory(create=True, size=64)
                memory.buf[0] = 42
                print(pool.submit(first_byte, memory).result())
            again = SharedMemory(name=memory.name)
            print(again.buf[0])
            again.close()
            memory.close()
            memory.unlink()
    """)
    assert (code, out, err) == (0, "42\n42\n", "")


def test_workers_of_a_driver_without_multiprocessing_do_not_import_it(finish: Finish) -> None:
    code, out, err = finish("""
        import sys
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def look():
            return "multiprocessing" in sys.modules

        with WorkerPool(num_workers=1) as pool:
            print("multiprocessing" in sys.modules, pool.submit(look).result())
    """)
    assert (code, out, err) == (0, "False False\n", "")


def test_the_key_stands_in_no_environment_and_on_no_command_line(finish: Finish) -> None:
    code, out, err = finish("""
        import multiprocessing, os
        from pathlib import Path
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def look():
            key = bytes(multiprocessing.current_process().authkey)
            seen = b"".join(Path("/proc/self", name).read_bytes() for name in ("environ", "cmdline"))
            return key, key in seen or key.hex().encode() in seen

        with WorkerPool(num_workers=1) as pool:
            key, readable = pool.submit(look).result()
            print(key == bytes(multiprocessing.current_process().authkey), readable)
    """)
    assert (code, out, err) == (0, "True False\n", "")
