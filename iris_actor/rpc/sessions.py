"""Sessions: the sessions of this process, one for each server and set of credentials."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial

from iris_actor.rpc.client_session import ClientSession
from iris_actor.rpc.credentials import Credentials
from iris_actor.rpc.io_thread import IOThread, io_thread
from iris_actor.threads.after_fork import ForkStage, at_fork

_Key = tuple[str, Credentials | None]


class Sessions:
    """Hands out the session for an address; a new one when the last is of no more use. Thread-safe."""

    def __init__(self) -> None:
        self._open: dict[_Key, ClientSession] = {}
        self._lock = threading.Lock()
        self._io: IOThread | None = None
        self._inherited: list[ClientSession] = []

    def get(self, address: str, credentials: Credentials | None) -> ClientSession:
        """The session with the server at `address`, connecting if it is new.

        Raises:
            ForkedProcessError: this process was forked from one that was connected.
        """
        key = (address, credentials)
        session = self._open.get(key)
        if session is not None and session.error is None:
            return session
        io = io_thread()
        with self._lock:
            session = self._open.get(key)
            if session is None or session.error is not None:
                if self._io is not io:
                    self._io = io
                    io.at_exit(self._close_all)
                session = ClientSession(address, credentials, on_close=self._closed)
                self._open[key] = session
            return session

    def doubt(self, addresses: frozenset[str], announced: Callable[[str], bool]) -> None:
        """Servers at `addresses` are no longer announced: see `ClientSession.doubt`. Does not block.

        Args:
            addresses: theirs.
            announced: tells whether one is announced again.
        """
        with self._lock:
            doubtful = [(key[0], session) for key, session in self._open.items() if key[0] in addresses]
        for address, session in doubtful:
            session.doubt(partial(announced, address))

    def _closed(self, session: ClientSession) -> None:
        with self._lock:
            for key, value in list(self._open.items()):
                if value is session:
                    del self._open[key]

    async def _close_all(self) -> None:
        with self._lock:
            open_sessions = list(self._open.values())
        await asyncio.gather(*(session.close_and_wait() for session in open_sessions))

    def after_fork(self) -> None:
        """Forget the parent's sessions: using them raises."""
        self._inherited += self._open.values()  # their end would wait for gRPC's threads
        self._open.clear()
        self._lock = threading.Lock()


sessions = Sessions()
"""The sessions of this process."""

at_fork(ForkStage.CONNECTIONS, in_child=sessions.after_fork)
