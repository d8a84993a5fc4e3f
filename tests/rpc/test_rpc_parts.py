"""The small parts of the RPC layer by themselves: memory, order, waiting, queues."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading

import numpy as np
import pytest

from iris_actor.codec import Body
from iris_actor.deadline import Deadline
from iris_actor.rpc.buffers import BufferPool
from iris_actor.rpc.loop_queue import LoopQueue
from iris_actor.rpc.protocol.stream_order import StreamOrder
from iris_actor.rpc.waiters import Waiters
from tests.support.waiting import until

MIB = 1 << 20


def address(view: memoryview) -> int:
    return np.frombuffer(view, np.uint8).__array_interface__["data"][0]


def test_a_block_is_used_again_once_nobody_holds_it():
    pool = BufferPool()
    first = pool.take(4 * MIB)
    where = address(first)
    assert address(pool.take(4 * MIB)) != where, "it is still held"
    del first
    gc.collect()
    assert address(pool.take(4 * MIB)) == where


def test_an_array_built_on_a_view_holds_its_block():
    pool = BufferPool()
    view = pool.take(4 * MIB)
    array = np.frombuffer(view, np.uint8)[5:10]
    where = address(view)
    del view
    gc.collect()
    assert address(pool.take(4 * MIB)) != where
    del array
    gc.collect()
    assert address(pool.take(4 * MIB)) == where


def test_a_block_serves_sizes_down_to_its_half():
    pool = BufferPool()
    where = address(pool.take(8 * MIB))
    smaller = pool.take(5 * MIB)
    assert address(smaller) == where
    assert smaller.nbytes == 5 * MIB
    del smaller
    assert address(pool.take(3 * MIB)) != where


def test_small_sizes_are_not_pooled_and_views_are_writable():
    pool = BufferPool()
    for size in (1, 1000, MIB, 3 * MIB):
        view = pool.take(size)
        assert view.nbytes == size
        assert not view.readonly
        view[:] = b"x" * size


def test_a_pool_keeps_no_more_than_it_may():
    pool = BufferPool(keep=8 * MIB)
    views = [pool.take(4 * MIB) for _ in range(10)]
    for number, view in enumerate(views):
        view[:1] = bytes([number])
    assert [view[0] for view in views] == list(range(10)), "evicted blocks stay with their holders"
    huge = pool.take(100 * MIB)
    assert huge.nbytes == 100 * MIB


def test_no_memory_is_a_memory_error_and_what_lies_idle_is_given_up_first():
    script = """if True:
        import resource
        from iris_actor.rpc.buffers import BufferPool
        MIB = 1 << 20
        pool = BufferPool()
        pool.take(4 * MIB)  # what is imported when it is needed
        used = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1])
        most = used * 1024 + 100 * MIB
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        pool.take(60 * MIB)[::4096] = bytes(60 * MIB // 4096)
        held = pool.take(90 * MIB)  # there is room for either, not for both
        try:
            pool.take(90 * MIB)
        except MemoryError:
            print(len(held))
    """
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == (f"{90 * MIB}\n", "")


def test_slots_of_a_stream_are_run_in_their_order():
    order, seen = StreamOrder(), []
    fills = [order.slot(lambda body, number=number: seen.append((number, body.data))) for number in range(4)]
    fills[1](Body(b"1"))
    fills[3](Body(b"3"))
    assert seen == []
    fills[0](Body(b"0"))
    assert seen == [(0, b"0"), (1, b"1")]
    fills[2](Body(b"2"))
    assert [number for number, _ in seen] == [0, 1, 2, 3]


def test_a_waiter_is_woken_when_it_is_ready_and_not_before():
    waiters, ready = Waiters(), []
    outcome: list[bool] = []
    thread = threading.Thread(
        target=lambda: outcome.append(waiters.wait(lambda: bool(ready), Deadline.of(20)))
    )
    thread.start()
    for _ in range(100):
        waiters.wake()
    assert outcome == []
    ready.append(1)
    waiters.wake()
    thread.join(10)
    assert outcome == [True]


def test_a_waiter_gives_up_at_its_deadline():
    assert Waiters().wait(lambda: False, Deadline.after(0.05)) is False
    assert Waiters().wait(lambda: True, Deadline.after(0)) is True


async def test_a_task_waits_without_blocking_its_loop():
    waiters, ready = Waiters(), []
    task = asyncio.create_task(waiters.wait_async(lambda: bool(ready), Deadline.of(20)))
    assert await waiters.wait_async(lambda: False, Deadline.after(0.05)) is False
    ready.append(1)
    threading.Thread(target=waiters.wake).start()
    assert await task is True


def test_waking_a_task_of_a_closed_loop_does_no_harm():
    waiters = Waiters()

    async def start() -> None:
        waiting = asyncio.create_task(waiters.wait_async(lambda: False, Deadline.of(None)))
        await asyncio.sleep(0)
        assert not waiting.done()

    asyncio.run(start())
    waiters.wake()
    assert waiters.wait(lambda: True, Deadline.of(None))


def test_many_threads_wait_for_one_condition():
    waiters, ready, done = Waiters(), [], []
    threads = [
        threading.Thread(target=lambda: done.append(waiters.wait(lambda: bool(ready), Deadline.of(20))))
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    ready.append(1)
    waiters.wake()
    until(lambda: len(done) == 10)
    for thread in threads:
        thread.join()
    assert all(done)


def test_a_loop_queue_runs_what_it_is_given_in_order():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    seen: list[int] = []
    try:
        queue = LoopQueue(loop)
        for number in range(10_000):
            queue.call_soon(lambda number=number: seen.append(number))
        until(lambda: len(seen) == 10_000)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
    assert seen == list(range(10_000))
    queue.call_soon(lambda: seen.append(-1))
    assert seen[-1] != -1, "a closed loop runs nothing"


@pytest.mark.parametrize("threads", [4])
def test_a_loop_queue_loses_nothing_of_many_threads(threads):
    loop = asyncio.new_event_loop()
    runner = threading.Thread(target=loop.run_forever)
    runner.start()
    seen: list[tuple[int, int]] = []
    try:
        queue = LoopQueue(loop)

        def work(me: int) -> None:
            for number in range(2_000):
                queue.call_soon(lambda number=number: seen.append((me, number)))

        workers = [threading.Thread(target=work, args=(me,)) for me in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        until(lambda: len(seen) == threads * 2_000)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        runner.join(10)
        loop.close()
    for me in range(threads):
        assert [number for who, number in seen if who == me] == list(range(2_000))
