"""xoscar: an actor in the main pool of another process, called over its socket (uvloop at both ends)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import uvloop
import xoscar as xo

from benchmarks.processes import FreshProcess, ServerProcess, announce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

UID = "bench"


class Bench(xo.Actor):
    def echo(self, x: Any) -> Any:
        return x

    @xo.generator
    def numbers(self, first: int, end: int) -> Iterator[int]:
        yield from range(first, end)

    @xo.extensible
    def echo_many(self, x: Any) -> Any:
        return x

    @echo_many.batch
    def echo_many(self, args_list: list[Any], kwargs_list: list[Any]) -> list[Any]:  # noqa: ARG002
        return [args[0] for args in args_list]


class Xoscar:
    distributions = ("xoscar", "uvloop")

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self._server: ServerProcess | None = None

    def start(self) -> None:
        self._server = ServerProcess(__name__)
        asyncio.set_event_loop(self.loop)
        self._actor = self.loop.run_until_complete(xo.actor_ref(self._server.address, UID))

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def calls(self) -> Mapping[str, Callable[[Any], Any]]:
        async def call(x: Any) -> Any:
            return await self._actor.echo(x)

        return {"await": call}

    def floods(self) -> Mapping[str, Callable[[list[int]], Any]]:
        async def gather(values: list[int]) -> list[Any]:
            return await asyncio.gather(*[self._actor.echo(x) for x in values])

        async def batch(values: list[int]) -> list[Any]:
            method = self._actor.echo_many
            replies: list[Any] = await method.batch(*[method.delay(x) for x in values])
            return replies

        return {"gather": gather, "one batch": batch}

    def echoes(self) -> Mapping[str, Callable[[Any], Any]]:
        return self.calls()

    def byte_echoes(self) -> Mapping[str, Callable[[bytes], Any]]:
        return self.calls()

    def streams(self) -> Mapping[str, Callable[[range], Any]]:
        async def items(wanted: range) -> list[int]:
            return [item async for item in await self._actor.numbers(wanted.start, wanted.stop)]

        return {"async for": items}

    def imports(self) -> Mapping[str, Callable[[int], FreshProcess]]:
        return {"import xoscar": partial(FreshProcess, "import xoscar\ntell(x + 1)")}


create = Xoscar


async def serve() -> None:
    pool = await xo.create_actor_pool("127.0.0.1:0", n_process=0)
    await xo.create_actor(Bench, address=pool.external_address, uid=UID)
    announce(pool.external_address)
    await pool.join()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
