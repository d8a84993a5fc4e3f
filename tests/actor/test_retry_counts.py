"""Looks for an endpoint and retries after a lost server are two counts."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from iris_actor import FixedResolver
from iris_actor.actor.resolve_result import ResolveResult
from iris_actor.errors import ConnectionLostError
from tests.support.processes import ServerProcess

RETRIES = 3


class Late(FixedResolver):
    """Knows its endpoints from a moment on."""

    known_at = 0.0

    def resolve(self, name: str) -> ResolveResult:
        found = super().resolve(name)
        return found if time.monotonic() >= self.known_at else ResolveResult(found.name, (), 0)


@pytest.fixture
def servers():
    """Enough servers to lose one at each attempt."""
    with ExitStack() as stack:
        yield [stack.enter_context(ServerProcess()) for _ in range(RETRIES + 1)]


def pool_of(servers, *, known_after: float = 0.0):
    resolver = Late({"actor": [server.address for server in servers]}, namespace="test")
    resolver.known_at = time.monotonic() + known_after
    return resolver.lookup("actor", max_retries=RETRIES)


@pytest.mark.parametrize("known_after", [0.0, 1.0], ids=["at once", "after many looks"])
def test_a_call_has_all_its_retries_however_long_it_waited(servers, tmp_path, known_after):
    mark = str(tmp_path / "mark")
    pool = pool_of(servers, known_after=known_after)
    done = pool.call(timeout=60, idempotent=True).die_at_first(mark, RETRIES)
    assert done == "done"
    assert len(Path(mark).read_text().splitlines()) == RETRIES + 1


def test_a_call_has_no_more_retries_than_it_may(servers, tmp_path):
    mark = str(tmp_path / "mark")
    with pytest.raises(ConnectionLostError):
        pool_of(servers).call(timeout=60, idempotent=True).die_at_first(mark, 99)
    assert len(Path(mark).read_text().splitlines()) == RETRIES + 1


def test_endpoints_that_cannot_be_reached_use_up_no_retries(servers, tmp_path):
    mark = str(tmp_path / "mark")
    for server in servers[2:]:
        server.kill()
    pool = pool_of(servers)
    done = pool.call(timeout=60, idempotent=True).die_at_first(mark, 1)
    assert done == "done"


def test_a_call_that_is_not_idempotent_is_not_retried_after_waiting_either(servers, tmp_path):
    mark = str(tmp_path / "mark")
    with pytest.raises(ConnectionLostError):
        pool_of(servers, known_after=0.3).call(timeout=60).die_at_first(mark, 1)
    assert len(Path(mark).read_text().splitlines()) == 1
