"""What a type checker sees of calls. Checked by mypy --strict in test_typing.py, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, assert_type

from iris_actor import (
    ActorClient,
    ActorId,
    ActorPool,
    ActorServer,
    Broadcast,
    CallResult,
    Credentials,
    Endpoint,
    EtcdResolver,
    FixedResolver,
    IrisClient,
    JobId,
    Limits,
    PoolStatus,
    Resolver,
    ResolveResult,
    ResourceSpec,
    ResultStream,
    TaskExecutor,
    TaskFuture,
    WorkerPool,
    WorkerPoolConfig,
    call_context,
    method,
)
from iris_actor.errors import CallError, DeadlineExceededError


class Inference:
    """A user's actor."""

    def predict(self, xs: list[float], *, scale: float = 1.0) -> list[float]:
        return [x * scale for x in xs]

    async def apredict(self, xs: list[float], *, scale: float = 1.0) -> list[float]:
        return [x * scale for x in xs]

    def tokens(self, prompt: str) -> Iterator[str]:
        yield prompt

    async def atokens(self, prompt: str) -> AsyncIterator[str]:
        yield prompt

    async def batch(self) -> list[int]:
        return [1]

    @method(group="control")
    def heartbeat(self) -> int:
        return 1


def lookups(resolver: Resolver) -> None:
    typed = resolver.lookup("inference", Inference)
    assert_type(typed, ActorPool[Inference])
    assert_type(typed.call(), Inference)
    assert_type(typed.call(timeout=5, key="k", idempotent=True).predict([1.0], scale=2), list[float])
    assert_type(typed.call().heartbeat(), int)
    untyped = resolver.lookup("inference")
    assert_type(untyped, ActorPool[Any])
    assert_type(untyped.call().anything(1), Any)
    assert_type(resolver.lookup("x", Inference, balancer="hash", on_full="raise"), ActorPool[Inference])
    assert_type(resolver.resolve("x"), ResolveResult)
    assert_type(resolver.resolve("x").first(), Endpoint)
    assert_type(resolver.list(), list[str])


def pools(pool: ActorPool[Inference]) -> None:
    future: Future[list[float]] = pool.submit().predict([1.0])
    future.result()
    for token in pool.stream().tokens("hi"):
        print(token)
    results: list[CallResult[int]] = pool.broadcast().heartbeat().wait_all(timeout=1)
    assert_type(results[0].exception, BaseException | None)
    assert_type(pool.endpoints(), tuple[Endpoint, ...])
    assert_type(pool.size, int)
    pool.wait_for_size(2, timeout=3)
    values: list[float] = list(pool.map([1.0]).predict(in_flight=2))
    print(values)


def methods_by_reference(pool: ActorPool[Inference], untyped: ActorPool[Any]) -> None:
    assert_type(pool.call(Inference.predict)([1.0], scale=2), list[float])
    assert_type(pool.call(Inference.apredict, timeout=5)([1.0], scale=2), list[float])
    assert_type(pool.call(Inference.heartbeat, key="k", idempotent=True)(), int)
    assert_type(pool.submit(Inference.predict)([1.0]), Future[list[float]])
    assert_type(pool.submit(Inference.apredict, timeout=1)([1.0]), Future[list[float]])
    assert_type(pool.stream(Inference.tokens)("hi"), ResultStream[str])
    assert_type(pool.stream(Inference.atokens, timeout=1)("hi"), ResultStream[str])
    assert_type(pool.stream(Inference.batch)(), ResultStream[int])
    for token in pool.stream(Inference.tokens)(prompt="hi"):
        assert_type(token, str)
    assert_type(pool.broadcast(Inference.predict)([1.0]), Broadcast[list[float]])
    assert_type(pool.broadcast(Inference.apredict)([1.0]).wait_all()[0], CallResult[list[float]])
    assert_type(pool.broadcast(Inference.heartbeat)().wait_all()[0].result(), int)
    assert_type(pool.broadcast(Inference.heartbeat)().wait_all()[0].value, int | None)
    assert_type(pool.map(Inference.predict, [[1.0]], in_flight=2)(scale=2), Iterator[list[float]])
    assert_type(pool.map(Inference.apredict, [[1.0]])(), Iterator[list[float]])
    assert_type(untyped.call(Inference.apredict)([1.0]), list[float])
    # With the arguments of the method, and nothing else.
    bound: Callable[[list[float]], list[float]] = pool.call(Inference.apredict)
    print(bound)


async def coroutines_by_reference(pool: ActorPool[Inference]) -> None:
    bound: Callable[[list[float]], Coroutine[Any, Any, list[float]]] = pool.acall(Inference.predict)
    print(bound)
    assert_type(await pool.acall(Inference.predict)([1.0]), list[float])
    assert_type(await pool.acall(Inference.apredict, timeout=1)([1.0], scale=2), list[float])
    awaitable: Awaitable[int] = pool.acall(Inference.heartbeat)()
    print(awaitable)
    async for token in pool.stream(Inference.atokens)("hi"):
        assert_type(token, str)


async def coroutines(pool: ActorPool[Inference]) -> None:
    value: list[float] = await pool.acall(timeout=1).predict([1.0])
    print(value)
    async for token in pool.stream().tokens("hi"):
        print(token)
    async with ActorServer("etcd://127.0.0.1:2379", namespace="demo") as server:
        assert_type(server, ActorServer)
        await server.wait_closed()


def serving() -> None:
    credentials = Credentials(token="t")
    with ActorServer(None, credentials=credentials, limits=Limits(max_in_flight=5)) as server:
        actor_id = server.register("inference", Inference(), max_concurrency=4, metadata={"a": "b"})
        assert_type(actor_id, ActorId)
        assert_type(server.serve_background(), int)
        assert_type(server.address, str)
        assert_type(server.drain(1), bool)
    with EtcdResolver("etcd://127.0.0.1:2379", credentials=credentials) as resolver:
        assert_type(resolver, EtcdResolver)
        client = ActorClient(resolver, "inference", timeout=1)
        print(client.predict([1.0]))
    FixedResolver({"a": "h:1", "b": ["h:1", "h:2"]})


def score(x: int, *, scale: float = 1.0) -> float:
    return x * scale


def worker_pools(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=(1, 4), resources=ResourceSpec(memory="2GB"), env={"A": "b"}) as pool:
        future = pool.submit(score, 3, scale=2.0)
        assert_type(future, TaskFuture[float])
        assert_type(future.result(), float)
        assert_type(future.cancel(kill=True), bool)
        as_stdlib: Future[float] = future
        print(as_stdlib)
        for value in pool.map(score, [1, 2], chunksize=2, progress=True):
            assert_type(value, float)
        limited = pool.options(timeout=3, max_retries=0)
        assert_type(limited, TaskExecutor)
        assert_type(limited.submit(score, 1), TaskFuture[float])
        assert_type(pool.submit(score, pool.put(5)), TaskFuture[float])
        executor: Executor = limited
        print(executor)
        assert_type(pool.status(), PoolStatus)
        assert_type(pool.status().worker_infos[0].task, str | None)
        pool.resize((0, 3))
    WorkerPool(config=WorkerPoolConfig(num_workers=3, task_timeout=5.0, cwd=Path("/tmp")))
    WorkerPool(max_workers=None, initializer=print, initargs=("hello",))


def values() -> None:
    assert_type(JobId("a/b").parent, JobId | None)
    assert_type(call_context().time_remaining(), float)
    try:
        call_context()
    except DeadlineExceededError as error:
        assert_type(error.may_have_run, bool)
    except CallError as error:
        assert_type(error.target, str)
