"""ServerCalls: the serving side's table of a session: calls that have no outcome yet. Pure.

::

    take(packet) ─► on_call(frame) ─► add(call)         call.grant, on_cancel(call)
    remove(id): the call has its outcome                end() ─► the calls that nobody waits for any more

Any thread may remove calls while the I/O thread takes packets: each step is one operation of a dict.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from iris_actor._proto import session_pb2 as pb
from iris_actor.errors import ProtocolError
from iris_actor.rpc.protocol.transfer import OutgoingTransfer


class _Call(Protocol):
    """What the table knows of a call; see `SessionCall`."""

    id: int

    def grant(self, items: int) -> None: ...


C = TypeVar("C", bound=_Call)


class ServerCalls(Generic[C]):
    """See the module.

    Args:
        on_call: called with the frame of each new call.
        on_cancel: called with each call that is cancelled, which is out of the table by then.
    """

    def __init__(self, on_call: Callable[[pb.Call], None], on_cancel: Callable[[C], None]) -> None:
        self._on_call = on_call
        self._on_cancel = on_cancel
        self._calls: dict[int, C] = {}
        self._results: list[tuple[int, OutgoingTransfer]] = []

    def __len__(self) -> int:
        """How many calls have no outcome yet."""
        return len(self._calls)

    def add(self, call: C) -> None:
        """A call begins.

        Raises:
            ProtocolError: another one has its number.
        """
        if self._calls.setdefault(call.id, call) is not call:
            raise ProtocolError(f"call {call.id} began twice")

    def remove(self, number: int) -> C | None:
        """The call gets its outcome; None if it is over already."""
        return self._calls.pop(number, None)

    def put_back(self, call: C) -> None:
        """The outcome of a call that was removed could not be sent: it needs another one."""
        self._calls[call.id] = call

    def sending(self, number: int, transfer: OutgoingTransfer) -> None:
        """A large outcome is on its way: a cancel may come when the call itself is over."""
        self._results = [(n, t) for n, t in self._results if not t.done]
        self._results.append((number, transfer))

    def take(self, packet: pb.Packet) -> None:
        """Begin and cancel calls, and let their streams go on, as the caller says."""
        for frame in packet.calls:
            self._on_call(frame)
        for credit in packet.credits:
            call = self._calls.get(credit.id)
            if call is not None:
                call.grant(credit.items)
        for cancel in packet.cancels:
            self._cancel(cancel.id)

    def _cancel(self, number: int) -> None:
        call = self._calls.pop(number, None)
        if call is not None:
            self._on_cancel(call)
        for sending, transfer in self._results:
            if sending == number:
                transfer.cancelled = True

    def end(self) -> None:
        """Cancel all calls."""
        for number in list(self._calls):
            self._cancel(number)
