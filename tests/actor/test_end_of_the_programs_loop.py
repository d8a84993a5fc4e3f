"""Async methods on the program's own loop: that is the program's to end, and then calls have an outcome."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from iris_actor import ActorServer
from iris_actor.errors import CallCancelledError, CallError, ConnectionLostError, ServerUnavailableError
from tests.support.processes import run_script
from tests.support.serving import NAME, lookup_at
from tests.support.waiting import until

OUTCOME = 20.0


class OnLoop:
    def __init__(self) -> None:
        self.held = 0

    async def hold(self) -> None:
        self.held += 1
        await asyncio.sleep(120)

    async def child(self, kind: type[BaseException]) -> None:
        async def inner() -> None:
            raise kind("in a child task")

        await asyncio.create_task(inner())

    async def callback(self, kind: type[BaseException]) -> None:
        def raising() -> None:
            raise kind("in a callback")

        asyncio.get_running_loop().call_soon(raising)
        await asyncio.sleep(120)

    async def direct(self, kind: type[BaseException]) -> None:
        raise kind("in the method")

    async def ping(self) -> str:
        return "pong"

    def plain_ping(self) -> str:
        return "pong"


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("way", ["child", "callback"])
def test_what_ends_a_program_reaches_it_and_its_callers_hear_of_it(way, kind):
    addresses: list[str] = []
    ended: list[BaseException] = []
    actor = OnLoop()

    async def main() -> None:
        async with ActorServer(namespace="test") as server:
            server.register(NAME, actor, max_concurrency=4)
            addresses.append(server.address)
            await asyncio.Event().wait()

    def program() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=program)
    thread.start()
    until(lambda: addresses)
    pool = lookup_at(*addresses, resolve_timeout=0.5)
    held = pool.submit().hold()
    until(lambda: actor.held)
    first = getattr(pool.submit(), way)(kind)
    assert isinstance(first.exception(OUTCOME), CallError | kind)
    assert isinstance(held.exception(OUTCOME), CallCancelledError | ConnectionLostError)
    thread.join(OUTCOME)
    assert [type(error) for error in ended] == [kind]
    with pytest.raises(ServerUnavailableError):
        pool.call(timeout=OUTCOME).ping()


@pytest.mark.parametrize("kind", [SystemExit, ValueError])
def test_what_a_method_itself_raises_ends_no_program(kind):
    async def main() -> None:
        async with ActorServer(namespace="test") as server:
            server.register(NAME, OnLoop())
            pool = lookup_at(server.address)
            future = pool.submit(timeout=OUTCOME).direct(kind)
            error = await asyncio.to_thread(future.exception, OUTCOME)
            assert type(error) is kind
            assert await pool.acall(timeout=OUTCOME).ping() == "pong"

    asyncio.run(main())


@contextlib.contextmanager
def paused_program(actor: Any) -> Iterator[tuple[asyncio.AbstractEventLoop, Any, Callable[[], None]]]:
    """A program that runs its loop in pieces: the loop, a pool of its actor, and what ends the piece."""
    loop = asyncio.new_event_loop()
    server = ActorServer(namespace="test")
    loop.run_until_complete(server.__aenter__())
    server.register(NAME, actor)
    until_stopped = threading.Thread(target=loop.run_forever)
    until_stopped.start()

    def pause() -> None:
        loop.call_soon_threadsafe(loop.stop)
        until_stopped.join(OUTCOME)

    try:
        yield loop, lookup_at(server.address, resolve_timeout=0.5), pause
    finally:
        server.stop()
        if not loop.is_closed():
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()


@pytest.mark.parametrize("closed", [False, True])
def test_a_loop_that_is_left_standing_keeps_no_caller_waiting(closed):
    actor = OnLoop()
    with paused_program(actor) as (loop, pool, pause):
        running = pool.submit().hold()
        until(lambda: actor.held)
        waiting = pool.submit().ping()
        plain = pool.submit().plain_ping()  # behind both, and it needs no loop
        pause()
        if closed:
            loop.close()
        error = running.exception(OUTCOME)
        assert isinstance(error, CallCancelledError)
        assert "event loop" in str(error)
        assert error.may_have_run
        with pytest.raises(ServerUnavailableError, match="event loop of the program"):
            waiting.result(OUTCOME)
        assert plain.result(OUTCOME) == "pong"
        with pytest.raises(ServerUnavailableError, match="event loop of the program"):
            pool.call(timeout=OUTCOME).ping()


def test_a_call_that_meets_a_paused_loop_is_answered_when_that_runs_again():
    with paused_program(OnLoop()) as (loop, pool, pause):
        pause()
        patient = lookup_at(*(endpoint.address for endpoint in pool.endpoints()), resolve_timeout=OUTCOME)
        future = patient.submit().ping()
        assert patient.call(timeout=OUTCOME).plain_ping() == "pong"
        again = threading.Thread(target=loop.run_forever)
        again.start()
        assert future.result(OUTCOME) == "pong"
        loop.call_soon_threadsafe(loop.stop)
        again.join(OUTCOME)


def test_a_call_that_a_pause_has_ended_does_not_run_afterwards():
    actor = OnLoop()
    with paused_program(actor) as (loop, pool, pause):
        running = pool.submit().hold()
        until(lambda: actor.held)
        pause()
        assert isinstance(running.exception(OUTCOME), CallCancelledError)
        again = threading.Thread(target=loop.run_forever)
        again.start()
        assert pool.call(timeout=OUTCOME).ping() == "pong"
        loop.call_soon_threadsafe(loop.stop)
        again.join(OUTCOME)
        assert actor.held == 1


_CTRL_C = """
import _thread, asyncio, threading
from iris_actor import ActorServer
from tests.support.serving import NAME, lookup_at

class Busy:
    async def interrupted(self):
        _thread.interrupt_main()
        for _ in range(10**9):
            pass

async def main():
    async with ActorServer(namespace="test") as server:
        server.register(NAME, Busy())
        future = lookup_at(server.address).submit().interrupted()
        caller = threading.Thread(target=lambda: print("call:", type(future.exception(20)).__name__))
        callers.append(caller)
        caller.start()
        await asyncio.Event().wait()

callers = []

loop = asyncio.new_event_loop()  # without asyncio.run, whose own handler of SIGINT would cancel the main task
try:
    loop.run_until_complete(main())
except KeyboardInterrupt:
    callers[0].join()
    print("program: KeyboardInterrupt")
"""


def test_ctrl_c_in_a_method_ends_the_program_and_the_call():
    assert run_script(_CTRL_C, timeout=60) == "call: KeyboardInterrupt\nprogram: KeyboardInterrupt\n"
