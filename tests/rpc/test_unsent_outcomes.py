"""Outcomes that cannot be sent as they are: whatever happens, the caller hears something."""

from __future__ import annotations

import pytest

from iris_actor.errors import SerializationError
from iris_actor.rpc.carrier import Carrier
from tests.support.serving import hosting
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("each_carrier")


@pytest.mark.parametrize("where", ["queue_body", "flush"])
@pytest.mark.parametrize("method", ["echo", "echo_async"])
def test_an_outcome_that_cannot_be_sent_for_lack_of_memory_is_an_answer_too(monkeypatch, where, method):
    class Echo:
        def echo(self, value):
            return value

        async def echo_async(self, value):
            return value

    failing = getattr(Carrier, where)
    failures = []

    def fail_once(link, *args, **kwargs):
        if link in links and not failures:
            failures.append(where)
            raise MemoryError
        return failing(link, *args, **kwargs)

    with hosting(Echo()) as hosted:
        assert getattr(hosted.pool.call(timeout=10), method)(1) == 1
        links = {session.carrier for session in hosted.server._rpc._sessions.values()}
        monkeypatch.setattr(Carrier, where, fail_once)
        call = getattr(hosted.pool.call(timeout=10), method)
        try:
            assert call(2) == 2  # where it was queued already, it is what arrives
        except SerializationError as error:
            assert "could not be sent: MemoryError" in str(error)  # noqa: PT017 - either will do
        assert failures == [where]
        assert call(3) == 3
        until(lambda: hosted.server.in_flight == 0)
