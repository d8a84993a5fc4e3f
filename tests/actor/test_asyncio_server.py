"""Serving from an asyncio program: async methods run on its own loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from iris_actor import ActorServer
from tests.support.processes import python
from tests.support.serving import NAME, lookup_at
from tests.support.waiting import until_async


class OnLoop:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.ran_in: list[int] = []
        self.go = asyncio.Event()

    async def locked(self) -> str:
        async with self.lock:
            self.ran_in.append(threading.get_ident())
            return "locked"

    def plain(self) -> int:
        return threading.get_ident()

    async def hold(self) -> str:
        self.ran_in.append(threading.get_ident())
        await self.go.wait()
        return "held"

    async def items(self, count: int):
        for number in range(count):
            yield number


async def test_async_methods_run_on_the_programs_own_loop():
    actor = OnLoop()
    async with ActorServer(namespace="test") as server:
        server.register(NAME, actor, max_concurrency=4)
        pool = lookup_at(server.address)
        assert await pool.acall(timeout=10).locked() == "locked"
        assert await pool.acall(timeout=10).plain() != threading.get_ident()
        assert [item async for item in pool.stream().items(100)] == list(range(100))
    assert actor.ran_in == [threading.get_ident()]


async def test_leaving_the_context_lets_accepted_calls_finish():
    actor = OnLoop()
    async with ActorServer(namespace="test") as server:
        server.register(NAME, actor)
        task = asyncio.create_task(lookup_at(server.address).acall(timeout=20).hold())
        await until_async(lambda: actor.ran_in)
        asyncio.get_running_loop().call_later(0.1, actor.go.set)
    assert await task == "held"


async def test_wait_closed_returns_when_the_server_is_stopped():
    async with ActorServer(namespace="test") as server:
        server.register(NAME, OnLoop())
        waiting = asyncio.create_task(server.wait_closed())
        await lookup_at(server.address).acall(timeout=10).locked()
        assert not waiting.done()
        await asyncio.to_thread(server.stop)
        await asyncio.wait_for(waiting, 10)


async def test_cancelling_wait_closed_stops_the_server():
    async with ActorServer(namespace="test") as server:
        server.register(NAME, OnLoop())
        waiting = asyncio.create_task(server.wait_closed())
        await lookup_at(server.address).acall(timeout=10).locked()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(RuntimeError, match="stopped"):
            server.serve_background()


def test_sigterm_drains_an_asyncio_program():
    source = """
import asyncio
from iris_actor import ActorServer

class Slow:
    async def hold(self):
        print("began", flush=True)
        await asyncio.sleep(0.5)
        return "held"

async def main():
    async with ActorServer(namespace="test") as server:
        server.register("actor", Slow())
        print(server.address, flush=True)
        await server.wait_closed()
    print("closed", flush=True)

asyncio.run(main())
"""
    process = python("-c", source)
    try:
        address = process.stdout.readline().strip()
        future = lookup_at(address).submit().hold()
        assert process.stdout.readline().strip() == "began"
        process.terminate()
        assert future.result(10) == "held"
        out, _ = process.communicate(timeout=10)
        assert out.strip() == "closed"
        assert process.returncode == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
