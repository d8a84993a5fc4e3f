"""Pyro5: a daemon with one object, called with its default serializer and with its fastest ones.

marshal is the fastest for one call and cannot carry a batch (Pyro5 5.17 fails on it); msgpack is the fastest
for batches. Arrays travel as bytes, which both carry as they are.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import Pyro5.api

from benchmarks.processes import FreshProcess, ServerProcess, announce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

OBJECT = "bench"


DEFAULT = "serpent"
SERIALIZERS = (DEFAULT, "marshal", "msgpack")


@Pyro5.api.expose
class Bench:
    def echo(self, x: Any) -> Any:
        return x

    def numbers(self, first: int, end: int) -> Iterator[int]:
        yield from range(first, end)


class Pyro:
    distributions = ("Pyro5", "msgpack")
    loop = None

    def __init__(self) -> None:
        self._server: ServerProcess | None = None

    def start(self) -> None:
        Pyro5.api.config.SOCK_NODELAY = True
        self._server = ServerProcess(__name__)
        self._proxies = {serializer: self._connect(serializer) for serializer in SERIALIZERS}

    def _connect(self, serializer: str) -> Pyro5.api.Proxy:
        assert self._server is not None
        proxy = Pyro5.api.Proxy(f"PYRO:{OBJECT}@{self._server.address}")
        proxy._pyroSerializer = serializer
        proxy._pyroBind()
        return proxy

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def calls(self) -> Mapping[str, Callable[[int], Any]]:
        # Functions and not the remote methods themselves, which claim to have any attribute asked of them.
        def marshal(x: int) -> Any:
            return self._proxies["marshal"].echo(x)

        def serpent(x: int) -> Any:
            return self._proxies[DEFAULT].echo(x)

        return {"marshal": marshal, "serpent": serpent}

    def floods(self) -> Mapping[str, Callable[[list[int]], Any]]:
        def batch(serializer: str, values: list[int]) -> list[Any]:
            calls = Pyro5.api.BatchProxy(self._proxies[serializer])
            for x in values:
                calls.echo(x)
            return list(calls())

        return {f"one batch, {name}": partial(batch, name) for name in ("msgpack", DEFAULT)}

    def echoes(self) -> Mapping[str, Callable[[Any], Any]]:
        def call(serializer: str, array: Any) -> Any:
            reply = self._proxies[serializer].echo(array.tobytes())
            return np.frombuffer(reply, dtype=array.dtype)

        return {f"bytes, {name}": partial(call, name) for name in ("marshal", "msgpack")}

    def byte_echoes(self) -> Mapping[str, Callable[[bytes], Any]]:
        def call(serializer: str, data: bytes) -> Any:
            return self._proxies[serializer].echo(data)

        return {name: partial(call, name) for name in ("marshal", "msgpack")}

    def streams(self) -> Mapping[str, Callable[[range], Any]]:
        def items(wanted: range) -> list[int]:
            return list(self._proxies["marshal"].numbers(wanted.start, wanted.stop))

        return {"a call an item, marshal": items}

    def imports(self) -> Mapping[str, Callable[[int], FreshProcess]]:
        return {"import Pyro5.api": partial(FreshProcess, "import Pyro5.api\ntell(x + 1)")}


create = Pyro


def serve() -> None:
    Pyro5.api.config.SOCK_NODELAY = True
    with Pyro5.api.Daemon(host="127.0.0.1", port=0) as daemon:
        daemon.register(Bench(), OBJECT)
        announce(daemon.locationStr)
        daemon.requestLoop()


if __name__ == "__main__":
    serve()
