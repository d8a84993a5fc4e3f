from __future__ import annotations

import os

import psutil
import pytest

from iris_actor.actor.server import ActorServer
from iris_actor.errors import InvalidNameError, OutsideJobError
from iris_actor.naming import JobId
from iris_actor.testing import EtcdProcess
from iris_actor.work.client import IrisClient
from iris_actor.work.context import get_iris_ctx, iris_ctx
from iris_actor.work.launch.local.local_launcher import LocalLauncher
from iris_actor.work.pool.executor.worker_pool import WorkerPool


class Greeter:
    def greet(self, name: str) -> str:
        return f"hello {name}"


def greet_from_task(name: str) -> object:
    """Calls an actor of the driver's from a worker, by name alone."""
    return iris_ctx().resolver.lookup("greeter").call(timeout=20).greet(name)


def test_a_local_client_brings_its_own_etcd_and_takes_it_along() -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with IrisClient.local() as client:
        assert client.registry_url.startswith("etcd://127.0.0.1:")
        assert client.namespace == client.job_id.root
        assert isinstance(client.launcher, LocalLauncher)
        assert client.launcher is client.launcher
    client.close()
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
    with pytest.raises(RuntimeError, match="closed"):
        _ = client.resolver


def test_a_remote_client_uses_a_registry_that_is_there(etcd: EtcdProcess, namespace: str) -> None:
    with IrisClient.remote(etcd.url, namespace=namespace) as client:
        assert client.job_id == JobId(namespace)
        with WorkerPool(client, num_workers=1) as pool:
            assert pool.submit(os.getenv, "IRIS_REGISTRY").result(30) == etcd.url
            names = client.resolver.list("_workerpool/")
            assert f"{namespace}/_workerpool/{pool.name}/worker-0" in names
    with IrisClient.remote(etcd.url, namespace=namespace) as client:
        assert client.resolver.list("_workerpool/") == [], "workers withdraw when they end"


def test_a_launcher_that_was_passed_in_is_left_to_its_maker(etcd: EtcdProcess, namespace: str) -> None:
    with LocalLauncher() as launcher:
        for _ in range(2):
            with IrisClient.remote(etcd.url, namespace=namespace, launcher=launcher) as client:
                assert client.launcher is launcher
                with WorkerPool(client, num_workers=1) as pool:
                    assert pool.submit(abs, -1).result(30) == 1


def test_bad_namespaces_are_refused(etcd: EtcdProcess) -> None:
    with pytest.raises(InvalidNameError):
        IrisClient.remote(etcd.url, namespace="a/b")
    with pytest.raises(InvalidNameError):
        IrisClient.local(namespace="no spaces")


def test_tasks_find_actors_of_their_job_by_name() -> None:
    with IrisClient.local() as client:
        with ActorServer(client.registry_url, namespace=client.namespace) as server:
            server.register("greeter", Greeter())
            server.serve_background()
            with WorkerPool(client, num_workers=1) as pool:
                assert pool.submit(greet_from_task, "you").result(30) == "hello you"


def test_there_is_no_context_outside_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IRIS_JOB_ID", raising=False)
    assert get_iris_ctx() is None
    with pytest.raises(OutsideJobError, match="IRIS_JOB_ID"):
        iris_ctx()
    monkeypatch.setenv("IRIS_JOB_ID", "abc123/worker-0")
    with pytest.raises(OutsideJobError, match="IRIS_REGISTRY"):
        iris_ctx()


def test_the_context_reads_the_environment_and_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "IRIS_JOB_ID": "abc123/train",
        "IRIS_REGISTRY": "memory://ctx",
        "IRIS_TASK_INDEX": "1",
        "IRIS_NUM_TASKS": "4",
        "IRIS_ADVERTISE_HOST": "node7",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    context = iris_ctx()
    assert context is get_iris_ctx()
    assert (context.job_id, context.parent_job_id) == (JobId("abc123/train"), JobId("abc123"))
    assert (context.namespace, context.registry) == ("abc123", "memory://ctx")
    assert (context.task_index, context.num_tasks, context.advertise_host) == (1, 4, "node7")
    with context.client as client:
        assert client is context.client
        assert client.job_id == context.job_id
        assert client.resolver.namespace == "abc123"
    monkeypatch.setenv("IRIS_JOB_ID", "other")
    assert iris_ctx().namespace == "other"
