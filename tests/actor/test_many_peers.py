"""Two hundred peers cost a process connections and memory, but no threads."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import psutil

from iris_actor import Credentials
from tests.support.lab import Lab
from tests.support.processes import ServerProcess
from tests.support.serving import hosting, lookup_at

PEERS = 200
AT_ONCE = 20


def test_clients_cost_a_server_no_threads():
    with ServerProcess() as server:
        # There is a session for each set of credentials; this server asks for none.
        pools = [lookup_at(server.address, credentials=Credentials(token=str(n))) for n in range(PEERS)]

        def echo(first):
            futures = [pools[n].submit().echo(n) for n in range(first, first + AT_ONCE)]
            return [future.result(20) for future in futures] == [*range(first, first + AT_ONCE)]

        # Methods run in as many threads as were needed at once.
        assert all(echo(0) for _ in range(3))
        process = psutil.Process(server.pid)
        threads, descriptors = process.num_threads(), process.num_fds()
        assert all(echo(first) for first in range(AT_ONCE, PEERS, AT_ONCE))
        assert process.num_fds() >= descriptors + PEERS - AT_ONCE
        assert process.num_threads() <= threads + AT_ONCE


def test_servers_cost_a_client_no_threads():
    with ExitStack() as servers:
        addresses = [servers.enter_context(hosting(Lab())).address for _ in range(PEERS)]
        pool = lookup_at(*addresses)
        results = pool.broadcast().echo(7).wait_all(20)
        assert {result.endpoint.address for result in results if result.value == 7} == {*addresses}
        # The actors, which are in this process too, have one each.
        callers = [thread for thread in threading.enumerate() if not thread.name.startswith("iris-actor-")]
        assert len(callers) < AT_ONCE
