"""Many iris-actor servers in one process, each with an actor of the same name: what one client calls in turn,
and what a broadcast goes to."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.processes import ServerProcess, announce, wait_for_end
from iris_actor import ActorServer, FixedResolver

if TYPE_CHECKING:
    from iris_actor import ActorPool

PROCESSES = 2


class Member:
    def __init__(self, number: int) -> None:
        self._name = f"{os.getpid()}/{number}"

    def echo(self, x: Any) -> Any:
        return x

    def tell(self, x: Any) -> tuple[str, Any]:
        return self._name, x


class Fleet:
    """The servers, spread over two processes."""

    def __init__(self, servers: int) -> None:
        each = str(servers // PROCESSES)
        self._processes: list[ServerProcess] = []
        try:
            for _ in range(PROCESSES):
                self._processes.append(ServerProcess(__name__, each))
        except BaseException:
            self.stop()
            raise
        self._addresses = [process.address.split(",") for process in self._processes]

    def pool(self, members: int) -> ActorPool[Any]:
        """A handle on so many of the actors, as many of them in each process."""
        addresses = [address for process in self._addresses for address in process[: members // PROCESSES]]
        return FixedResolver({"bench": addresses}).lookup("bench")

    def stop(self) -> None:
        for process in self._processes:
            process.stop()


def serve(servers: int) -> None:
    addresses = []
    for number in range(servers):
        server = ActorServer()
        server.register("bench", Member(number))
        server.serve_background()
        addresses.append(server.address)
    announce(",".join(addresses))
    wait_for_end()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
