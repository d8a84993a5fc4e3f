"""SessionWatch: keeps a `Vigil` over the server of one session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from iris_actor.address import Address
from iris_actor.rpc.carrier import Carrier
from iris_actor.rpc.channel import CHANNEL_OPTIONS
from iris_actor.rpc.connecting import open_channel
from iris_actor.rpc.credentials import Credentials
from iris_actor.rpc.vigil import Step, Vigil


class SessionWatch:
    """Begins when the server is no longer announced. In the I/O thread.

    Args:
        carrier: of the session: what arrives over it is a sign of life.
        address: of the server.
        credentials: what it asks for.
        on_lost: called once, when the server counts as dead.
    """

    def __init__(
        self, carrier: Carrier, address: Address, credentials: Credentials | None, on_lost: Callable[[], None]
    ) -> None:
        self._carrier = carrier
        self._address = address
        self._credentials = credentials
        self._on_lost = on_lost
        self._is_over = False
        self._task: asyncio.Task[None] | None = None

    def begin(self, announced: Callable[[], bool]) -> None:
        """Watch the server until it is announced again, unless that is done already.

        Args:
            announced: tells whether it is.
        """
        if not self._is_over and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._keep(announced))

    def end(self) -> None:
        """The session is over. Idempotent."""
        self._is_over = True
        if self._task is not None:
            self._task.cancel()

    async def _keep(self, announced: Callable[[], bool]) -> None:
        vigil, loop = Vigil(), asyncio.get_running_loop()
        answered = 0
        while True:
            signs = self._carrier.link.progress + answered
            step = vigil.look(loop.time(), announced=announced(), signs=signs)
            if step is Step.END:
                return
            if step is Step.LOST:
                self._on_lost()
                return
            if step is Step.ASK:
                self._carrier.send("cancels", {"id": 0})  # there is no such call, but it is acknowledged
            elif step is Step.KNOCK:
                answered += await self._answers(vigil.due - loop.time())
            await asyncio.sleep(max(0.0, vigil.due - loop.time()))

    async def _answers(self, seconds: float) -> bool:
        """Whether gRPC answers at the address, on another connection."""
        try:
            async with open_channel(self._address, self._credentials, CHANNEL_OPTIONS) as channel:
                await asyncio.wait_for(channel.channel_ready(), seconds)
        except (OSError, TimeoutError):
            return False
        return True
