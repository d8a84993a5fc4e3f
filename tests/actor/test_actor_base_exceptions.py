"""SystemExit and its like, wherever an actor's code may raise them: that call ends, and nothing else does."""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from iris_actor.errors import CallCancelledError, MethodNotFoundError, RemoteError, SerializationError
from iris_actor.rpc.json_call import call_json, describe
from tests.support.serving import NAME, Hosted, hosting, lookup_at
from tests.support.waiting import until


class OwnError(BaseException):
    """As user code may have it."""


KINDS = [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, OwnError]
OUTCOME = 15.0
"""Seconds in which a call must have an outcome, on a machine that does much else."""


def explode(kind: type[BaseException]) -> None:
    raise kind("in a reconstructor")


class Bomb:
    """Raises when it is pickled."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        raise self.kind("in __reduce__")


class Shell:
    """Pickles, and raises when it is rebuilt."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        return explode, (self.kind,)


class Unspeakable:
    """Cannot be pickled, and raises when it is asked for its text."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        raise TypeError("not to be pickled")

    def __repr__(self) -> str:
        raise self.kind("in __repr__")


class SilentError(Exception):
    """Raises when it is asked for its text, and cannot be pickled either."""

    def __init__(self, kind: type[BaseException]) -> None:
        super().__init__()
        self.kind = kind

    def __str__(self) -> str:
        raise self.kind("in __str__")

    def __reduce__(self) -> Any:
        raise self.kind("in __reduce__")


class SuggestiveError(AttributeError):
    """Raises while the traceback is formatted, which looks at what the object has instead."""

    def __init__(self, kind: type[BaseException]) -> None:
        class Owner:
            def __dir__(self) -> list[str]:
                raise kind("in __dir__")

        super().__init__("no such attribute", name="nam", obj=Owner())


class Items:
    """An iterator of its own, whose methods raise."""

    def __init__(self, kind: type[BaseException], where: str) -> None:
        self.kind = kind
        self.where = where

    def _maybe(self, where: str) -> None:
        if where == self.where:
            raise self.kind(f"in {where}")

    def __iter__(self) -> Items:
        self._maybe("iter")
        return self

    def __next__(self) -> int:
        self._maybe("next")
        raise StopIteration

    def __aiter__(self) -> Items:
        self._maybe("aiter")
        return self

    async def __anext__(self) -> int:
        self._maybe("anext")
        raise StopAsyncIteration

    def close(self) -> None:
        self._maybe("close")

    async def aclose(self) -> None:
        self._maybe("aclose")


class Dying:
    """Each method raises, or has something raise, in its own way. `ping` and `plain_ping` do not."""

    async def ping(self) -> str:
        return "pong"

    def plain_ping(self) -> str:
        return "pong"

    def take(self, _value: Any) -> str:
        return "taken"

    async def take_async(self, _value: Any) -> str:
        return "taken"

    # --- calls ---------------------------------------------------------------------------------------

    def plain(self, kind):
        raise kind("bye")

    async def direct(self, kind):
        raise kind("bye")

    async def child(self, kind):
        async def inner():
            raise kind("bye")

        await asyncio.create_task(inner())

    async def group(self, kind):
        async def inner():
            raise kind("bye")

        async with asyncio.TaskGroup() as group:
            group.create_task(inner())

    async def gathered(self, kind):
        async def inner():
            raise kind("bye")

        await asyncio.gather(inner(), asyncio.sleep(0))

    async def orphan(self, kind):
        async def inner():
            raise kind("bye")

        self.orphan_task = asyncio.create_task(inner())
        await asyncio.wait([self.orphan_task])
        return self.orphan_task.cancelled() or type(self.orphan_task.exception()).__name__

    async def callback(self, kind):
        ran = asyncio.Event()

        def raising():
            ran.set()
            raise kind("bye")

        asyncio.get_running_loop().call_soon(raising)
        await ran.wait()

    async def timer(self, kind):
        ran = asyncio.Event()

        def raising():
            ran.set()
            raise kind("bye")

        asyncio.get_running_loop().call_later(0.001, raising)
        await ran.wait()

    async def from_thread(self, kind):
        def raising():
            raise kind("bye")

        await asyncio.to_thread(raising)

    async def reader(self, kind):
        ran = asyncio.Event()
        loop = asyncio.get_running_loop()
        out, into = os.pipe()

        def raising():
            loop.remove_reader(out)
            os.close(out)
            os.close(into)
            ran.set()
            raise kind("bye")

        loop.add_reader(out, raising)
        os.write(into, b"x")
        await ran.wait()

    async def done_callback(self, kind):
        ran = asyncio.Event()

        def raising(_task):
            ran.set()
            raise kind("bye")

        task = asyncio.create_task(asyncio.sleep(0))
        task.add_done_callback(raising)
        await task
        await ran.wait()

    async def stops_the_loop(self, _kind):
        asyncio.get_running_loop().stop()

    async def result(self, kind):
        return Bomb(kind)

    def plain_result(self, kind):
        return Bomb(kind)

    async def unspeakable_result(self, kind):
        return Unspeakable(kind)

    def plain_unspeakable_result(self, kind):
        return Unspeakable(kind)

    async def silent(self, kind):
        raise SilentError(kind)

    def plain_silent(self, kind):
        raise SilentError(kind)

    async def suggestive(self, kind):
        raise SuggestiveError(kind)

    def plain_suggestive(self, kind):
        raise SuggestiveError(kind)

    def deleted(self, kind):
        class Last:
            def __del__(self):
                raise kind("bye")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.unraisablehook", lambda _: None)
            last = Last()
            del last

    # --- streams -------------------------------------------------------------------------------------

    def generator(self, kind):
        yield 1
        raise kind("bye")

    async def async_generator(self, kind):
        yield 1
        raise kind("bye")

    def generator_finally(self, kind):
        try:
            yield 1
        finally:
            raise kind("bye")

    async def async_generator_finally(self, kind):
        try:
            yield 1
        finally:
            raise kind("bye")

    async def async_generator_child(self, kind):
        async def inner():
            raise kind("bye")

        yield 1
        await asyncio.create_task(inner())

    def item(self, kind):
        yield Bomb(kind)

    async def async_item(self, kind):
        yield Bomb(kind)

    def iter(self, kind):
        return Items(kind, "iter")

    def next(self, kind):
        return Items(kind, "next")

    def close(self, kind):
        return Items(kind, "close")

    async def aiter(self, kind):
        return Items(kind, "aiter")

    async def anext(self, kind):
        return Items(kind, "anext")

    async def aclose(self, kind):
        return Items(kind, "aclose")

    def unspeakable_item(self, kind):
        yield Unspeakable(kind)


STREAMS = [
    "generator",
    "async_generator",
    "generator_finally",
    "async_generator_finally",
    "async_generator_child",
    "item",
    "async_item",
    "unspeakable_item",
    "iter",
    "next",
    "close",
    "aiter",
    "anext",
    "aclose",
]
WITHOUT_ERROR = {"orphan", "callback", "timer", "reader", "done_callback", "stops_the_loop", "deleted"}
"""What is raised where it reaches nobody's call."""
CALLS = [
    name
    for name in vars(Dying)
    if not name.startswith("_") and name not in {*STREAMS, "ping", "plain_ping", "take", "take_async"}
]


@pytest.fixture
def hosted() -> Iterator[Hosted]:
    """A serial actor, so that a turn that is not given back is seen."""
    with hosting(Dying()) as hosted:
        yield hosted


def assert_goes_on(hosted: Hosted) -> None:
    """Later calls of all sorts are answered, by the same serial actor and by its server."""
    assert hosted.pool.call(timeout=OUTCOME).ping() == "pong"
    assert hosted.pool.call(timeout=OUTCOME).plain_ping() == "pong"
    until(lambda: hosted.server.in_flight == 0)


def in_thread(function: Callable[[], Any]) -> Any:
    """What `function` returns or raises, in a thread: the main one's SystemExit is the program's own."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(OUTCOME)
    assert outcome, "it hangs"
    return outcome[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", CALLS)
def test_a_call_whose_code_raises_has_an_outcome_and_the_actor_goes_on(hosted, way, kind):
    first = getattr(hosted.pool.submit(), way)(kind)
    second = hosted.pool.submit().ping()  # waits for its turn behind it
    error = first.exception(OUTCOME)
    # A task group takes no notice of a member that was cancelled.
    harmless = way in WITHOUT_ERROR or (way == "group" and kind is asyncio.CancelledError)
    assert (error is None) == harmless
    assert second.result(OUTCOME) == "pong"
    assert_goes_on(hosted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", STREAMS)
def test_a_stream_whose_code_raises_ends_with_an_error_and_the_actor_goes_on(hosted, way, kind):
    error = in_thread(lambda: list(getattr(hosted.pool.stream(timeout=OUTCOME), way)(kind)))
    assert isinstance(error, BaseException)
    assert not isinstance(error, TimeoutError)
    assert_goes_on(hosted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["take", "take_async"])
def test_an_argument_that_raises_where_it_is_rebuilt_fails_its_call(hosted, way, kind):
    error = getattr(hosted.pool.submit(), way)(Shell(kind)).exception(OUTCOME)
    assert isinstance(error, SerializationError)
    assert kind.__name__ in str(error)
    assert not error.may_have_run
    assert_goes_on(hosted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["call", "submit", "acall"])
def test_an_argument_that_raises_while_it_is_pickled_fails_its_call(hosted, way, kind):
    def call() -> Any:
        take = getattr(hosted.pool, way)(timeout=OUTCOME).take
        if way == "acall":
            return asyncio.run(take(Bomb(kind)))
        outcome = take(Bomb(kind))
        return outcome if way == "call" else outcome.result(OUTCOME)

    error = in_thread(call)
    assert isinstance(error, SerializationError)
    assert "argument 0" in str(error)
    assert_goes_on(hosted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["call", "submit", "acall", "stream", "wrap_future"])
def test_a_result_that_raises_where_it_arrives_fails_its_call(hosted, way, kind):
    class Giving:
        def give(self) -> Shell:
            return Shell(kind)

        def items(self) -> Iterator[Shell]:
            while True:
                yield Shell(kind)

        def ping(self) -> str:
            return "pong"

    async def wrapped(pool: Any) -> Any:
        return await asyncio.wrap_future(pool.submit(timeout=OUTCOME).give())

    with hosting(Giving()) as other:
        pool = other.pool
        ways: dict[str, Callable[[], Any]] = {
            "call": lambda: pool.call(timeout=OUTCOME).give(),
            "submit": lambda: pool.submit(timeout=OUTCOME).give().result(OUTCOME),
            "acall": lambda: asyncio.run(pool.acall(timeout=OUTCOME).give()),
            "stream": lambda: next(pool.stream(timeout=OUTCOME).items()),
            "wrap_future": lambda: asyncio.run(wrapped(pool)),
        }
        error = in_thread(ways[way])
        assert isinstance(error, SerializationError)
        assert kind.__name__ in str(error)
        assert pool.call(timeout=OUTCOME).ping() == "pong", "a stream that is given up frees the actor"


def test_ctrl_c_while_an_item_is_rebuilt_frees_the_actor():
    class Giving:
        def items(self) -> Iterator[Shell]:
            while True:
                yield Shell(KeyboardInterrupt)

        def ping(self) -> str:
            return "pong"

    with hosting(Giving()) as hosted:
        stream = hosted.pool.stream().items()
        with pytest.raises(KeyboardInterrupt):
            next(stream)
        assert hosted.pool.call(timeout=OUTCOME).ping() == "pong"


@pytest.mark.parametrize("method", ["plain", "direct", "child", "group", "result", "plain_suggestive"])
def test_a_json_call_has_an_outcome_as_well(method):
    actor = Dying()

    class Json:
        async def direct(self) -> None:
            await actor.direct(SystemExit)

        async def child(self) -> None:
            await actor.child(SystemExit)

        async def group(self) -> None:
            await actor.group(SystemExit)

        async def result(self) -> Any:
            return await actor.result(SystemExit)

        def plain(self) -> None:
            actor.plain(SystemExit)

        def plain_suggestive(self) -> None:
            actor.plain_suggestive(SystemExit)

        async def ping(self) -> str:
            return "pong"

    with hosting(Json()) as hosted:
        with pytest.raises((RemoteError, SerializationError)):
            call_json(hosted.address, NAME, method, timeout=OUTCOME)
        assert call_json(hosted.address, NAME, "ping", timeout=OUTCOME) == '"pong"'


def test_an_async_method_that_is_cancelled_before_it_began_has_an_outcome():
    class Sweeping:
        async def cancel_all(self) -> None:
            me = asyncio.current_task()
            for task in asyncio.all_tasks():
                if task is not me:
                    task.cancel()

        async def pairs(self) -> int:
            return 1

    with hosting(Sweeping(), max_concurrency=64) as hosted:
        futures = []
        for _ in range(200):
            futures += [hosted.pool.submit().cancel_all(), hosted.pool.submit().pairs()]
        for future in futures:
            error = future.exception(OUTCOME)
            assert error is None or isinstance(error, CallCancelledError)
        assert hosted.pool.call(timeout=OUTCOME).pairs() == 1


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_uvloop_goes_on_as_well(hosted, kind, monkeypatch):
    monkeypatch.setattr(asyncio, "new_event_loop", uvloop.new_event_loop)
    for way in ("child", "group", "callback", "timer", "reader", "stops_the_loop"):
        getattr(hosted.pool.submit(), way)(kind).exception(OUTCOME)
        assert hosted.pool.call(timeout=OUTCOME).ping() == "pong"


def test_calls_of_other_callers_on_the_same_loop_go_on():
    class Waiting(Dying):
        def __init__(self) -> None:
            self.go = asyncio.Event()

        async def wait(self) -> str:
            await self.go.wait()
            return "went"

        async def release(self) -> None:
            self.go.set()

    with hosting(Waiting(), max_concurrency=8) as hosted:
        waiting = [hosted.pool.submit().wait() for _ in range(4)]
        for way in ("child", "callback", "stops_the_loop"):
            getattr(hosted.pool.submit(), way)(SystemExit).exception(OUTCOME)
        hosted.pool.call(timeout=OUTCOME).release()
        assert [future.result(OUTCOME) for future in waiting] == ["went"] * 4


class FragileSelector(selectors.DefaultSelector):
    """A selector that can fail, as one does whose descriptor is closed by other code of the process."""

    broken = False

    def select(self, timeout=None):
        if self.broken:
            raise OSError("broken")
        return super().select(timeout)


def test_a_loop_that_is_broken_is_replaced_and_its_calls_end(monkeypatch):
    selector = FragileSelector()
    loops = [asyncio.SelectorEventLoop(selector), asyncio.SelectorEventLoop()]
    monkeypatch.setattr(asyncio, "new_event_loop", iter(loops).__next__)

    class Breaking:
        def __init__(self) -> None:
            self.held = threading.Event()

        async def hold(self) -> None:
            self.held.set()
            await asyncio.sleep(60)

        async def break_it(self) -> None:
            selector.broken = True

        async def loop_number(self) -> int:
            return loops.index(asyncio.get_running_loop())

    actor = Breaking()
    with hosting(actor, max_concurrency=2) as hosted:
        held = hosted.pool.submit().hold()
        assert actor.held.wait(OUTCOME)
        hosted.pool.submit().break_it().exception(OUTCOME)
        with pytest.raises(CallCancelledError, match="event loop"):
            held.result(OUTCOME)
        assert hosted.pool.call(timeout=OUTCOME).loop_number() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_look_up_that_raises_fails_its_call(kind):
    class Odd:
        def __init__(self) -> None:
            self.armed = False

        def __getattribute__(self, name: str) -> Any:
            if name == "odd" and object.__getattribute__(self, "armed"):
                raise kind("in __getattribute__")
            return object.__getattribute__(self, name)

        def odd(self) -> None:
            """Cannot be reached."""

        def ping(self) -> str:
            return "pong"

    actor = Odd()
    with hosting(actor) as hosted:
        actor.armed = True
        assert isinstance(hosted.pool.submit().odd().exception(OUTCOME), MethodNotFoundError)
        assert describe(hosted.address, timeout=OUTCOME).actors[0].name == f"test/{NAME}"
        assert hosted.pool.call(timeout=OUTCOME).ping() == "pong"


def test_a_method_with_a_group_that_came_after_the_registration_runs():
    from iris_actor import method

    class Growing:
        def ping(self) -> str:
            return "pong"

    actor = Growing()
    with hosting(actor) as hosted:
        actor.late = method(group="later")(lambda: "late")
        assert hosted.pool.call(timeout=OUTCOME).late() == "late"
        assert hosted.pool.call(timeout=OUTCOME).ping() == "pong"


# --- at the caller ------------------------------------------------------------------------------------


class Picky:
    """A balancer that raises, also in the I/O thread, where a call looks for an endpoint again."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind
        self.calm = 0

    def pick(self, endpoints, key, pending):
        self.calm -= 1
        if self.calm >= 0:
            return endpoints[0]
        raise self.kind("in pick")


@pytest.mark.parametrize("kind", [*KINDS, StopIteration, ValueError])
@pytest.mark.parametrize("way", ["call", "submit", "acall", "stream"])
@pytest.mark.parametrize("calm", [0, 1], ids=["at once", "at the second attempt"])
def test_a_balancer_that_raises_fails_its_call(hosted, way, kind, calm):
    balancer = Picky(kind)
    # The first attempt goes to a server that is not there, so the second one is made by the I/O thread.
    addresses = ["127.0.0.1:1", hosted.address] if calm else [hosted.address]
    pool = lookup_at(*addresses, balancer=balancer)
    balancer.calm = calm
    ways: dict[str, Callable[[], Any]] = {
        "call": lambda: pool.call().ping(),
        "submit": lambda: pool.submit().ping().result(OUTCOME),
        "acall": lambda: asyncio.run(pool.acall().ping()),
        "stream": lambda: list(pool.stream().generator(ValueError)),
    }
    error = in_thread(ways[way])
    assert isinstance(error, kind | RuntimeError)
    assert_goes_on(hosted)


@pytest.mark.parametrize("kind", KINDS)
def test_a_done_callback_that_raises_holds_up_no_other(hosted, kind):
    ran: list[str] = []
    done = threading.Event()

    def raising(_future: Any) -> None:
        ran.append("raising")
        raise kind("in a done callback")

    future = hosted.pool.submit().ping()
    future.add_done_callback(raising)
    future.add_done_callback(lambda _: (ran.append("other"), done.set()))
    assert done.wait(OUTCOME)
    assert set(ran) == {"raising", "other"}
    assert_goes_on(hosted)


@pytest.mark.parametrize("kind", KINDS)
def test_a_done_callback_that_raises_keeps_no_cancel_from_the_server(kind):
    class Slow:
        def __init__(self) -> None:
            self.began = threading.Event()

        async def sleep(self) -> None:
            self.began.set()
            await asyncio.sleep(60)

        async def ping(self) -> str:
            return "pong"

    def raising(_future: Any) -> None:
        raise kind("in a done callback")

    actor = Slow()
    with hosting(actor) as hosted:
        future = hosted.pool.submit().sleep()
        others: list[str] = []
        future.add_done_callback(raising)
        future.add_done_callback(lambda _: others.append("other"))
        assert actor.began.wait(OUTCOME)
        assert in_thread(future.cancel) is True
        assert others == ["other"]
        assert hosted.pool.call(timeout=OUTCOME).ping() == "pong"


class Mapping:
    """A trace context that is no plain dict."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def keys(self) -> list[str]:
        raise self.kind("in keys")

    def __getitem__(self, key: str) -> str:
        raise KeyError(key)


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        (Mapping(OwnError), OwnError),
        (Mapping(GeneratorExit), GeneratorExit),
        ({"a": 1}, TypeError),
        ({1: "a"}, TypeError),
        ({"a": "\ud800"}, UnicodeEncodeError),
    ],
)
def test_a_trace_context_that_cannot_be_sent_fails_its_call_and_no_other(hosted, trace, expected):
    from iris_actor import trace_context

    others = [hosted.pool.submit().ping() for _ in range(20)]
    token = trace_context.set(trace)
    try:
        with pytest.raises(expected):
            hosted.pool.submit().ping()
    finally:
        trace_context.reset(token)
    assert [future.result(OUTCOME) for future in others] == ["pong"] * 20
    assert_goes_on(hosted)


def test_stop_iteration_from_a_method_does_not_pass_for_the_end_of_its_stream():
    class Odd:
        def ends(self) -> Any:
            raise StopIteration

        async def ends_async(self) -> Any:
            raise StopAsyncIteration

    with hosting(Odd()) as hosted:
        for method in ("ends", "ends_async"):
            with pytest.raises(RuntimeError, match="Stop"):
                list(getattr(hosted.pool.stream(timeout=OUTCOME), method)())


def test_what_asyncio_calls_cancelled_is_no_cancel_of_the_callers_task(hosted):
    async def call() -> str:
        with pytest.raises(CallCancelledError):
            await hosted.pool.acall(timeout=OUTCOME).plain(asyncio.CancelledError)
        return "went on"

    assert asyncio.run(call()) == "went on"
