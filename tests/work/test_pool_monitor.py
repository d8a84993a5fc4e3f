"""PoolMonitor: a pool that can be looked at, and does not suffer from it."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import socket
import threading
from pathlib import Path

import pytest

from iris_actor import ActorServer, Credentials, RegistryResolver
from iris_actor.errors import AuthenticationError, BrokenWorkerPool, ServerUnavailableError
from iris_actor.rpc.json_call import call_json
from iris_actor.testing import EtcdProcess
from iris_actor.work.client import IrisClient
from iris_actor.work.launch.launcher import LOCAL_TRAITS
from iris_actor.work.launch.local.local_launcher import LocalLauncher
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from iris_actor.work.pool.monitor.pool_directory import PoolDirectory, PoolEntry
from iris_actor.work.pool.monitor.pool_monitor import PoolMonitor, PoolSnapshot, monitor_name
from iris_actor.work.pool.monitor.pool_status import (
    Failure,
    PoolStatus,
    TaskCounts,
    WorkerCounts,
    WorkerInfo,
    WorkerState,
)
from tests.support.waiting import Stopwatch, until

STATUS = PoolStatus(
    name="demo",
    workers=WorkerCounts(busy=1, failed=1),
    tasks=TaskCounts(queued=3, running=1, done=20, failed=2),
    worker_infos=(
        WorkerInfo("worker-0", WorkerState.BUSY, 12, "here", 1, 1, "work", 0.5, 20, 2),
        WorkerInfo("worker-1", WorkerState.FAILED, 0, "", 3, 0),
    ),
    broken="no worker can be started",
    failures=(Failure(1.5, "worker-0", "work", "ValueError: no"), Failure(2.5, "worker-1", None, "died")),
    bounds=(1, 4),
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the pools of a test are to be found, and no others."""
    monkeypatch.setenv("IRIS_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


def hold(path: str) -> None:
    until(Path(path).exists)


def fail() -> None:
    raise ValueError("no such model")


def entry_of(pool: str) -> PoolEntry:
    """The entry of a pool that is about to be there."""
    return until(lambda: next((e for e in PoolDirectory().entries() if e.pool == pool), None))


def ask(entry: PoolEntry) -> PoolSnapshot:
    answer = call_json(entry.address, entry.actor, "status", timeout=10, credentials=entry.credentials)
    return PoolSnapshot.of(json.loads(answer))


# --- with a pool --------------------------------------------------------------------------------------


def test_a_running_pool_tells_what_its_workers_do(client: IrisClient, tmp_path: Path) -> None:
    release = tmp_path / "release"
    with WorkerPool(client, num_workers=(1, 2), name="telling") as pool:
        entry = entry_of("telling")
        with pytest.raises(ValueError, match="no such model"):
            pool.submit(fail).result(30)
        assert pool.submit(abs, -1).result(30) == 1
        held = pool.submit(hold, str(release))
        snapshot = until(
            lambda: next((s for s in [ask(entry)] if s.status.worker_infos[0].task == "hold"), None)
        )
        release.touch()
        held.result(30)
    status = snapshot.status
    assert (snapshot.host, snapshot.pid) == (socket.gethostname(), os.getpid())
    assert snapshot.age > 0
    assert status.name == "telling"
    assert status.bounds == (1, 2)
    assert (status.tasks.done, status.tasks.failed, status.tasks.running) == (1, 1, 1)
    assert status.workers.busy == 1
    info = status.worker_infos[0]
    assert (info.name, info.state, info.done, info.failed) == ("worker-0", WorkerState.BUSY, 1, 1)
    (failure,) = status.failures
    assert (failure.worker, failure.task, failure.text) == ("worker-0", "fail", "ValueError: no such model")


def test_the_monitor_is_an_actor_that_is_found_by_name_with_the_clients_credentials(
    etcd: EtcdProcess, namespace: str
) -> None:
    credentials = Credentials(token="shared")
    with (
        IrisClient.remote(etcd.url, namespace=namespace, credentials=credentials) as client,
        WorkerPool(client, num_workers=1, name="shown") as pool,
        RegistryResolver(etcd.url, namespace=namespace, credentials=credentials) as resolver,
    ):
        monitor = resolver.lookup(f"/{namespace}/{monitor_name('shown')}", _framework=True)
        assert monitor.call(timeout=30).status()["name"] == "shown"
        assert entry_of("shown").credentials == credentials
        assert pool.submit(abs, -1).result(30) == 1


def test_who_lacks_the_token_learns_nothing(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        entry = entry_of(pool.name)
        for credentials in (None, Credentials(token="guessed")):
            with pytest.raises(AuthenticationError):
                call_json(entry.address, entry.actor, "status", timeout=10, credentials=credentials)


@pytest.mark.parametrize("end", ["shutdown", "kill", "broken"])
def test_nothing_is_left_when_a_pool_has_ended(client: IrisClient, folder: Path, end: str) -> None:
    pool = WorkerPool(client, num_workers=1, initializer=fail if end == "broken" else None)
    if end == "broken":
        with pytest.raises(BrokenWorkerPool):
            pool.submit(abs, -1).result(30)
    else:
        entry = entry_of(pool.name)
        assert ask(entry).status.name == pool.name
        until(lambda: client.resolver.list(f"/{client.namespace}/{monitor_name(pool.name)}"))
    if end == "kill":
        pool.kill()
    pool.shutdown()
    assert list(folder.glob("*")) == []
    until(lambda: not client.resolver.list(f"/{client.namespace}/{monitor_name(pool.name)}"))
    if end != "broken":
        with pytest.raises(ServerUnavailableError):
            ask(entry)


def test_a_pool_works_that_can_leave_no_file(
    client: IrisClient, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir(mode=0o755)
    with WorkerPool(client, num_workers=1, name="fileless") as pool:
        monitor = client.resolver.lookup(f"/{client.namespace}/{monitor_name('fileless')}", _framework=True)
        until(monitor.endpoints)
        assert pool.submit(abs, -1).result(30) == 1
    assert "'fileless' can be found through the registry only" in caplog.text
    assert "must be 700" in caplog.text


# --- by itself ----------------------------------------------------------------------------------------


def test_starting_and_stopping_again_changes_nothing(client: IrisClient, folder: Path) -> None:
    monitor = PoolMonitor(client.site, "demo", lambda: STATUS)
    monitor.start()
    monitor.start()
    assert ask(entry_of("demo")).status == STATUS
    assert len(PoolDirectory().entries()) == 1
    monitor.stop()
    monitor.stop()
    assert list(folder.iterdir()) == []
    monitor.start()
    monitor.stop()
    assert list(folder.iterdir()) == []


def test_one_that_is_stopped_before_it_serves_leaves_nothing(client: IrisClient, folder: Path) -> None:
    for _ in range(20):
        monitor = PoolMonitor(client.site, "hasty", lambda: STATUS)
        monitor.start()
        monitor.stop()
        assert list(folder.glob("*")) == []
    until(lambda: not client.resolver.list(f"/{client.namespace}/{monitor_name('hasty')}"))


def test_a_server_that_cannot_bind_is_a_warning(etcd: EtcdProcess, caplog: pytest.LogCaptureFixture) -> None:
    class ElsewhereLauncher(LocalLauncher):
        traits = dataclasses.replace(
            LOCAL_TRAITS, bind_host="192.0.2.1"
        )  # for documentation: no machine has it

    with ElsewhereLauncher() as launcher, IrisClient.remote(etcd.url, launcher=launcher) as client:
        monitor = PoolMonitor(client.site, "demo", lambda: STATUS)
        with caplog.at_level(logging.WARNING):
            monitor.start()
            until(lambda: "pool 'demo' cannot be watched" in caplog.text)
        assert "192.0.2.1" in caplog.text
        monitor.stop()
    # It keeps no hold on the registry: another one's lease ends with that one.
    with ActorServer(etcd.url) as server:
        server.register("other", object())
        server.serve_background()


def test_a_registry_that_is_silent_holds_up_neither_start_nor_stop(caplog: pytest.LogCaptureFixture) -> None:
    with EtcdProcess() as etcd, IrisClient.remote(etcd.url) as client:
        etcd.pause()
        monitor = PoolMonitor(client.site, "demo", lambda: STATUS)
        watch = Stopwatch()
        monitor.start()
        monitor.stop()
        assert watch.seconds < 4, "registering alone takes 5 s to give up"
        assert PoolDirectory().entries() == []
        etcd.resume()
        until(lambda: not any("iris-pool-monitor" in thread.name for thread in threading.enumerate()))
    assert caplog.text == "", "nobody wants to watch it any more"


def test_a_snapshot_survives_json() -> None:
    snapshot = PoolSnapshot(STATUS, "here", 12, 1000.5, 3.25)
    fields = json.loads(json.dumps(snapshot.fields()))
    assert PoolSnapshot.of(fields) == snapshot
    assert fields["worker_infos"][0]["state"] == "busy"


def test_what_a_newer_driver_says_beyond_that_is_left_out() -> None:
    snapshot = PoolSnapshot(STATUS, "here", 12, 1000.5, 3.25)
    fields = snapshot.fields()
    fields["mood"] = fields["workers"]["mood"] = fields["worker_infos"][0]["mood"] = "good"
    assert PoolSnapshot.of(fields) == snapshot


def test_an_error_that_quotes_what_is_no_unicode_is_shown_with_question_marks() -> None:
    failure = Failure(1.0, "worker-0", "load", "FileNotFoundError: caf\udce9.txt")
    status = PoolStatus("demo", WorkerCounts(), TaskCounts(), broken="caf\udce9", failures=(failure,))
    fields = PoolSnapshot(status, "here", 12, 1000.5, 3.25).fields()
    assert fields["failures"][0]["text"] == "FileNotFoundError: caf?.txt"
    assert fields["broken"] == "caf?"
