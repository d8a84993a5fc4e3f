"""What carries a session: a lane, as between all processes of one host, or the gRPC stream."""

from __future__ import annotations

import pytest

from iris_actor.rpc.lane import SWITCH


@pytest.fixture
def without_lane(monkeypatch):
    """The network carries everything, also between processes of one host."""
    monkeypatch.setenv(SWITCH, "off")


@pytest.fixture(params=["lane", "stream"])
def each_carrier(request):
    """The test runs once over a lane and once over the gRPC stream."""
    if request.param == "stream":
        request.getfixturevalue("without_lane")
