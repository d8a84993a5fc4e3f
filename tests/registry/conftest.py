"""Registries of both kinds, an etcd of one's own, and etcdctl as the second opinion."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from iris_actor.etcd.process.binary import find_etcd
from iris_actor.registry import ActorId, Endpoint, Registry, connect_registry
from iris_actor.testing import EtcdProcess

MakeEndpoint = Callable[..., Endpoint]
Etcdctl = Callable[..., str]


@pytest.fixture(params=["memory", "etcd"])
def url(request: pytest.FixtureRequest, namespace: str) -> str:
    """URL of a registry that no other test uses, of each kind in turn."""
    if request.param == "memory":
        return f"memory://{namespace}"
    return etcd_url(request.getfixturevalue("etcd"), namespace)


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    """A handle on that registry."""
    with connect_registry(url) as registry:
        yield registry


@pytest.fixture
def own_etcd() -> Iterator[EtcdProcess]:
    """An etcd that the test may break."""
    with EtcdProcess() as own:
        yield own


@pytest.fixture
def make_endpoint(namespace: str) -> MakeEndpoint:
    """Makes endpoints in the test's namespace."""

    def make(name: str = "actor", **fields: Any) -> Endpoint:
        defaults = {"actor_id": ActorId(uuid.uuid4().hex), "address": "127.0.0.1:4711"}
        return Endpoint(f"{namespace}/{name}", **{**defaults, **fields})

    return make


@pytest.fixture
def etcdctl() -> Etcdctl:
    """Runs etcdctl on an EtcdProcess; returns what it prints."""
    return run_etcdctl


def run_etcdctl(etcd: EtcdProcess, *arguments: str) -> str:
    """What ``etcdctl`` prints."""
    binary = Path(find_etcd()).with_name("etcdctl")
    done = subprocess.run(
        [binary, f"--endpoints={etcd.client_url}", "--command-timeout=10s", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={**os.environ, "ETCDCTL_API": "3"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def etcd_url(etcd: EtcdProcess, prefix: str, *, ttl: int = 10) -> str:
    """URL of a registry with a prefix, and hence a connection and a lease, of its own."""
    return f"{etcd.url}/{prefix}?ttl={ttl}"


def leases(etcd: EtcdProcess) -> list[str]:
    """Leases that etcd has, in the hexadecimal that etcdctl takes."""
    answer = json.loads(run_etcdctl(etcd, "lease", "list", "--write-out=json"))
    return [f"{lease['id']:x}" for lease in answer.get("leases") or ()]


def keys(etcd: EtcdProcess, prefix: str) -> list[str]:
    """Keys that begin with `prefix`."""
    return [line for line in run_etcdctl(etcd, "get", "--prefix", "--keys-only", prefix).splitlines() if line]
