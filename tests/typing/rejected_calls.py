"""What a type checker must refuse: each line that it ignores has exactly that error.

mypy --strict reports an ignore that ignores nothing, so that this file passes only while all are errors.
"""

from __future__ import annotations

from iris_actor import ActorPool, ActorServer, FixedResolver, Limits, WorkerPool, method


class Inference:
    """A user's actor."""

    def predict(self, xs: list[float]) -> list[float]:
        return xs

    async def apredict(self, xs: list[float]) -> list[float]:
        return xs


class Other:
    """Another actor."""

    def predict(self, xs: list[float]) -> list[float]:
        return xs


def calls(pool: ActorPool[Inference]) -> None:
    pool.call().predict("text")  # type: ignore[arg-type]
    pool.call().predict()  # type: ignore[call-arg]
    pool.call().unknown()  # type: ignore[attr-defined]
    wrong: str = pool.call().predict([1.0])  # type: ignore[assignment]
    print(wrong)
    pool.call(timeout="5")  # type: ignore[call-overload]
    pool.call(retries=3)  # type: ignore[call-overload]


def methods_by_reference(pool: ActorPool[Inference]) -> None:
    pool.call(Inference.predict)("text")  # type: ignore[arg-type]
    pool.submit(Inference.apredict)()  # type: ignore[call-arg]
    pool.submit(Inference.predict)([1.0], scale=2)  # type: ignore[call-arg]
    pool.call(Inference.unknown)  # type: ignore[attr-defined]
    pool.stream(Inference.apredict, idempotent=True)  # type: ignore[call-overload]
    pool.map(Inference.predict, 5)  # type: ignore[call-overload]
    wrong: str = pool.call(Inference.apredict)([1.0])  # type: ignore[assignment]
    print(wrong)
    pool.call(Other.predict)  # type: ignore[arg-type]


def lookups(resolver: FixedResolver) -> None:
    resolver.lookup("x", Inference, on_full="maybe")  # type: ignore[call-overload]
    other: ActorPool[int] = resolver.lookup("x", Inference)  # type: ignore[arg-type]
    print(other)


def serving(server: ActorServer) -> None:
    server.register("x", Inference(), max_concurrency="4")  # type: ignore[arg-type]
    server.register("x", Inference(), metadata={"a": 1})  # type: ignore[dict-item]
    Limits(max_payload="big")  # type: ignore[arg-type]
    method("control")  # type: ignore[call-arg]


def worker_pools(pool: WorkerPool) -> None:
    WorkerPool(num_workers="4")  # type: ignore[arg-type]
    WorkerPool(num_worker=4)  # type: ignore[call-arg]
    WorkerPool(4)  # type: ignore[arg-type]
    pool.submit(len)  # type: ignore[call-arg]
    pool.submit(len, 5)  # type: ignore[arg-type]
    wrong: str = pool.submit(len, "abc").result()  # type: ignore[assignment]
    print(wrong)
    pool.options(timeout="5")  # type: ignore[arg-type]
