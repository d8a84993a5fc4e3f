"""ClientCalls: the caller's table of a session: calls that wait for their outcome. Pure.

::

    add(call) ─► fields of its frame          take(packet) ─► call.item, returned, raised, failed
    remove(call): its caller gave up          end() ─► the calls that will hear nothing any more

Any thread may add and remove calls while another takes packets: each step is one operation of a dict.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from iris_actor._proto import session_pb2 as pb
from iris_actor.codec import NONE, Body
from iris_actor.errors import PayloadTooLargeError
from iris_actor.rpc.outgoing_call import OutgoingCall, failure
from iris_actor.rpc.protocol.link import Fields
from iris_actor.rpc.protocol.stream_order import StreamOrder

_WITH_BODY = frozenset({pb.OK, pb.EXCEPTION})

Expect = Callable[[int, Sequence[int], Callable[[Body], None]], None]
"""Collects an announced transfer; see `Link.expect`."""


class ClientCalls:
    """See the module.

    Args:
        expect: collects the large bodies of outcomes.
        refuse: tells the server that a call's outcome is not wanted, because it is too large.
        on_room: called when there are fewer calls than before, after those of a packet or of a large body.

    Attributes:
        open: calls that wait for their outcome, by number. To be looked at only.
    """

    def __init__(
        self, expect: Expect, refuse: Callable[[OutgoingCall], None], on_room: Callable[[], None]
    ) -> None:
        self._expect = expect
        self._refuse = refuse
        self._on_room = on_room
        self._ids = itertools.count(1)
        self.open: dict[int, OutgoingCall] = {}
        self._orders: dict[int, StreamOrder] = {}

    def add(self, call: OutgoingCall, left: float | None) -> Fields:
        """Give `call` a number; returns the fields of its frame, without the body.

        Args:
            call: that starts.
            left: seconds until its deadline; None without one.
        """
        call.id = number = next(self._ids)
        fields: Fields = {"id": number, "actor": call.actor, "method": call.method}
        if call.actor_id:
            fields["actor_id"] = call.actor_id
        if left is not None:
            fields["timeout_us"] = max(1, int(left * 1e6))
        if call.chain:
            fields["chain"] = call.chain
        if call.trace:
            fields["trace"] = call.trace
        if call.credit:
            fields["credit"] = call.credit
            self._orders[number] = StreamOrder()
        self.open[number] = call
        return fields

    def remove(self, call: OutgoingCall) -> bool:
        """Forget `call`: nothing is reported to it any more. Whether it was still there."""
        if self.open.pop(call.id, None) is None:
            return False
        self._orders.pop(call.id, None)
        return True

    def take(self, packet: pb.Packet) -> None:
        """Tell calls what the server says of them."""
        calls = self.open
        for item in packet.items:
            order = self._orders.get(item.id)
            call = calls.get(item.id)
            if order is not None and call is not None:
                self._body(call, item, order.slot(call.item))
        for reply in packet.replies:
            number = reply.id
            call = calls.get(number)
            if call is None:
                continue
            data = reply.data
            if data and not self._orders:  # the common case, without detours
                if calls.pop(number, None) is None:
                    continue
                if reply.status == pb.OK:
                    call.returned(Body(data))
                else:
                    call.raised(Body(data))
                continue
            self._settle_when_whole(call, reply)
        if packet.replies:
            self._on_room()

    def _settle_when_whole(self, call: OutgoingCall, reply: pb.Reply) -> None:
        if call.transfer is not None:
            call.transfer.cancelled = True  # it is all sent, or was refused
        settle: Callable[[Body], None] = partial(
            self._settle, reply.id, reply.status, reply.message, reply.may_have_run
        )
        order = self._orders.get(reply.id)
        if order is not None:
            settle = order.slot(settle)
        if reply.status in _WITH_BODY:
            self._body(call, reply, settle)
        else:
            settle(NONE)

    def _body(self, call: OutgoingCall, frame: Any, then: Callable[[Body], None]) -> None:
        data = frame.data
        if data:
            then(Body(data))
            return
        parts = frame.parts
        try:
            self._expect(parts.transfer, parts.sizes, then)
        except PayloadTooLargeError as error:
            self._refuse(call)
            call.failed(PayloadTooLargeError.of(call.target, f"its result: {error}", may_have_run=True))
        else:
            call.arriving = (*call.arriving, parts.transfer)

    def _settle(self, number: int, status: int, message: str, may_have_run: bool, body: Body) -> None:
        call = self.open.pop(number, None)
        self._orders.pop(number, None)
        if call is None:
            return
        self._on_room()
        if status == pb.OK:
            call.returned(body)
        elif status == pb.EXCEPTION:
            call.raised(body)
        else:
            call.failed(failure(call.target, status, message, may_have_run=may_have_run))

    def end(self) -> Iterator[OutgoingCall]:
        """Take out the calls, one after the other: nothing more is heard of them."""
        while self.open:
            try:
                number, call = self.open.popitem()
            except KeyError:  # another thread removed the last one
                return
            self._orders.pop(number, None)
            yield call
