"""Variables that name an HTTP proxy are for the web: nothing of ours goes there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from iris_actor import ActorServer, EtcdResolver, WorkerPool, WorkerPoolConfig
from iris_actor.rpc.json_call import call_json, describe
from iris_actor.testing import EtcdProcess
from tests.support.lab import Lab
from tests.support.processes import ROOT, run_script
from tests.support.serving import NAME, hosting, lookup_at
from tests.support.strangers import listener

VARIABLES = ["http_proxy", "https_proxy", "grpc_proxy", "all_proxy"]
VARIABLES += [name.upper() for name in VARIABLES]


@pytest.fixture
def proxy(monkeypatch):
    """URL of a proxy that refuses everything; no variable names any."""
    for name in [*VARIABLES, "no_proxy", "NO_PROXY"]:
        monkeypatch.delenv(name, raising=False)
    with listener(b"HTTP/1.1 403 Forbidden\r\n\r\n") as address:
        yield f"http://{address}"


@pytest.fixture(params=VARIABLES)
def asks(request, proxy, monkeypatch):
    """A proxy that every program is told to ask."""
    monkeypatch.setenv(request.param, proxy)


@pytest.mark.usefixtures("asks")
def test_sessions_and_unary_calls_are_direct():
    with hosting(Lab()) as hosted:
        assert hosted.pool.call(timeout=20).echo(1) == 1
        assert lookup_at(hosted.address.replace("127.0.0.1", "localhost")).call(timeout=20).echo(1) == 1
        assert call_json(hosted.address, NAME, "echo", "[1]", timeout=20) == "1"
        assert describe(hosted.address, timeout=20).actors


@pytest.mark.usefixtures("asks")
def test_registries_are_asked_directly(etcd, namespace):
    with ActorServer(etcd.url, namespace=namespace) as server:
        server.register(NAME, Lab())
        server.serve_background()
        with EtcdResolver(etcd.url, namespace=namespace) as resolver:
            assert resolver.lookup(NAME).call(timeout=20).echo(1) == 1


def every(proxy: str) -> dict[str, str]:
    return dict.fromkeys(VARIABLES, proxy)


def test_a_registry_of_ones_own_is_direct(proxy, monkeypatch):
    for name, text in every(proxy).items():
        monkeypatch.setenv(name, text)
    with EtcdProcess() as etcd:
        assert proxy not in Path(f"/proc/{etcd.pid}/environ").read_text()


def test_the_command_line_is_direct(etcd, namespace, proxy, monkeypatch):
    with ActorServer(etcd.url, namespace=namespace) as server:
        server.register(NAME, Lab())
        server.serve_background()
        for name, text in every(proxy).items():
            monkeypatch.setenv(name, text)
        monkeypatch.setenv("IRIS_REGISTRY", etcd.url)
        command = "import sys; from iris_actor.cli import main; sys.argv[0] = 'iris-actor'; main()"
        listed = json.loads(run_script(command, "ls", "--json", "-n", namespace, timeout=60))
        assert NAME in json.dumps(listed)
        assert run_script(command, "call", f"{NAME}.echo", "1", "-n", namespace, timeout=60).strip() == "1"


def seen_by_worker(name: str, address: str) -> tuple[str | None, int]:
    return os.environ.get(name), lookup_at(address).call(timeout=20).echo(7)


@pytest.mark.parametrize("where", ["driver", "workers"])
def test_a_pool_is_direct(proxy, monkeypatch, where):
    monkeypatch.chdir(ROOT)
    env = every(proxy)
    if where == "driver":
        for name, text in env.items():
            monkeypatch.setenv(name, text)
    config = WorkerPoolConfig(num_workers=1, env=env if where == "workers" else {})
    with hosting(Lab()) as hosted, WorkerPool(config=config) as pool:
        seen = pool.submit(seen_by_worker, "http_proxy", hosted.address).result(timeout=60)
    assert seen == (proxy, 7)
