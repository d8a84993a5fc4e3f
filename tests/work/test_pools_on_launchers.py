"""Pools on an engine that lets workers wait, is silent, preempts, loses machines, and shares no memory."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from iris_actor import IrisClient, LocalLauncher, WorkerPool
from iris_actor.errors import BrokenWorkerPool, LauncherContractError, WorkerLostError
from iris_actor.retry import Backoff
from iris_actor.testing import EtcdProcess, PretendLauncher
from iris_actor.work.launch import Cause, LaunchSpec, ReplicaState
from iris_actor.work.pool.monitor.pool_monitor import PoolSnapshot
from tests.support.waiting import Stopwatch, until

QUICK = Backoff(first=0.01, most=0.05)


@pytest.fixture
def launcher() -> Iterator[PretendLauncher]:
    with PretendLauncher(end_timeout=0.5) as launcher:
        yield launcher
        launcher.answer()


@pytest.fixture
def client(etcd: EtcdProcess, namespace: str, launcher: PretendLauncher) -> Iterator[IrisClient]:
    with IrisClient.remote(etcd.url, namespace=namespace, launcher=launcher) as client:
        yield client


def pids(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def note_and_wait(log: Path, gate: Path) -> int:
    """Says which process it runs in, and waits until the gate is opened."""
    with log.open("a") as file:
        file.write(f"{os.getpid()}\n")
    with gate.open("rb", buffering=0) as file:
        return len(file.read(1))


def briefly(gate: Path | None = None) -> int:
    """Short, but for the one that waits."""
    if gate is not None:
        (gate.parent / "pid").write_text(str(os.getpid()))
        gate.read_text()
    return os.getpid()


# --- waiting for a place -------------------------------------------------------------------------------


def test_a_worker_that_waits_for_its_place_is_waited_for_and_said_to_wait(
    client: IrisClient, launcher: PretendLauncher
) -> None:
    launcher.hold("Priority")
    with WorkerPool(client, num_workers=2, start_timeout=0.2, max_restarts=0) as pool:
        future = pool.submit(abs, -1)
        with pytest.raises(TimeoutError):
            future.result(1.5)
        status = pool.status()
        assert status.broken is None
        assert [info.waiting_for for info in status.worker_infos] == ["Priority", "Priority"]
        assert len(launcher.launches) == 1, "nobody lost the place in the queue"
        fields = json.loads(json.dumps(PoolSnapshot(status, "here", 1, 1.0, 2.0).fields()))
        assert PoolSnapshot.of(fields).status == status
        pool.kill()


def test_workers_that_find_a_place_after_a_while_run_tasks(
    client: IrisClient, launcher: PretendLauncher
) -> None:
    launcher.hold()
    with WorkerPool(client, num_workers=2) as pool:
        futures = [pool.submit(os.getpid) for _ in range(10)]
        until(lambda: pool.status().worker_infos)
        launcher.admit(1)  # an array may start its members hours apart
        assert len({future.result(30) for future in futures}) == 1
        assert sorted(info.waiting_for for info in pool.status().worker_infos) == ["", "Priority"]
        launcher.admit()
        pool.wait_for_workers(timeout=30)
        assert [info.waiting_for for info in pool.status().worker_infos] == ["", ""]


def test_a_queue_timeout_takes_workers_out_of_the_queue(
    client: IrisClient, launcher: PretendLauncher
) -> None:
    launcher.hold("Resources")
    with WorkerPool(client, num_workers=2, queue_timeout=0.2, max_restarts=0, restart_backoff=QUICK) as pool:
        future = pool.submit(abs, -1)
        with pytest.raises(BrokenWorkerPool, match=r"found no place to run within 0\.2 s \(Resources\)"):
            future.result(30)
    statuses = [status for launch in launcher.launches for status in launch.poll()]
    assert {status.cause for status in statuses} == {Cause.CANCELLED}


# --- an engine that does not answer --------------------------------------------------------------------


@pytest.mark.parametrize("how", ["shutdown", "kill"])
def test_a_pool_ends_though_its_engine_never_says_that_workers_have(
    client: IrisClient, launcher: PretendLauncher, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    pool = WorkerPool(client, num_workers=2, shutdown_grace=0.5)
    assert pool.submit(abs, -1).result(30) == 1
    pool.wait_for_workers(timeout=30)
    launcher.silence()
    watch = Stopwatch()
    with caplog.at_level(logging.WARNING):
        if how == "kill":
            pool.kill()
        pool.shutdown()
    assert watch.seconds < 10, "grace and end_timeout are half a second each"
    for worker in ("worker-0", "worker-1"):
        assert f"{worker} was asked to end" in caplog.text
    assert launcher.launches[0].ref in caplog.text
    launcher.answer()
    until(lambda: all(status.state is ReplicaState.ENDED for status in launcher.launches[0].poll()))


def test_a_launcher_comes_back_from_its_end_and_says_what_is_left() -> None:
    launcher = PretendLauncher()
    launcher.launch(LaunchSpec("sleeper", ("sleep", "600"), labels=("one",)))
    launcher.silence()
    assert launcher.close() == ("one",)


def test_while_the_engine_is_silent_tasks_run_and_what_is_known_grows_old(
    client: IrisClient, launcher: PretendLauncher
) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        pool.wait_for_workers(timeout=30)
        launcher.silence()
        (before,) = launcher.launches[0].poll()
        assert sum(pool.map(abs, range(-100, 0))) == 5050
        (after,) = launcher.launches[0].poll()
        assert after == before
        assert after.known_at == before.known_at
        assert after.age > 0
        launcher.answer()


def test_a_worker_whose_engine_has_forgotten_it_is_replaced(
    client: IrisClient, launcher: PretendLauncher
) -> None:
    with WorkerPool(client, num_workers=1, restart_backoff=QUICK) as pool:
        first = pool.submit(os.getpid).result(30)
        launcher.forget()
        until(lambda: pool.status().worker_infos[0].restarts)
        assert pool.submit(os.getpid).result(30) != first


# --- an engine that ends workers -----------------------------------------------------------------------


def test_a_task_that_is_preempted_again_and_again_is_charged_with_none_of_that(
    client: IrisClient, launcher: PretendLauncher, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    os.mkfifo(gate)
    with WorkerPool(client, num_workers=1, max_retries=1, max_restarts=1, restart_backoff=QUICK) as pool:
        future = pool.submit(note_and_wait, log, gate)
        for number in range(1, 4):
            until(lambda: len(pids(log)) == number, 30)  # noqa: B023
            launcher.preempt("worker-0")
        until(lambda: len(pids(log)) == 4, 30)
        gate.write_text("open")
        assert future.result(30) == 1
        assert pool.status().worker_infos[0].restarts == 3
    causes = [launch.poll()[0].cause for launch in launcher.launches]
    assert causes == [Cause.PREEMPTED] * 3 + [Cause.CANCELLED]


def test_a_task_that_must_not_start_twice_is_lost_with_a_worker_that_is_preempted(
    client: IrisClient, launcher: PretendLauncher, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    os.mkfifo(gate)
    with WorkerPool(client, num_workers=1, max_retries=0, restart_backoff=QUICK) as pool:
        future = pool.submit(note_and_wait, log, gate)
        until(lambda: pids(log), 30)
        launcher.preempt("worker-0")
        with pytest.raises(WorkerLostError):
            future.result(30)
        assert len(pids(log)) == 1


def test_a_worker_whose_machine_is_lost_is_replaced_and_what_its_twin_does_does_not_count(
    client: IrisClient, launcher: PretendLauncher, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    os.mkfifo(gate)
    with WorkerPool(client, num_workers=1, max_retries=1, restart_backoff=QUICK) as pool:
        future = pool.submit(note_and_wait, log, gate)
        until(lambda: len(pids(log)) == 1, 30)
        launcher.lose_node("worker-0")
        until(lambda: len(pids(log)) == 2, 30)
        twin, worker = pids(log)
        os.kill(twin, 0)  # it lives
        assert twin != worker
        opened = os.open(gate, os.O_RDWR)  # which waits for nobody
        os.write(opened, b"12")  # one for each of them
        assert future.result(30) == 1
        assert pool.submit(os.getpid).result(30) == worker
        os.close(opened)


# --- an engine that shares no memory -------------------------------------------------------------------


def test_tasks_travel_in_batches_and_kill_9_is_charged_to_the_one_that_ran(
    client: IrisClient, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with WorkerPool(client, num_workers=1, max_retries=1, restart_backoff=QUICK) as pool:
        for _ in range(5):
            pool.submit(briefly).result(30)  # now they are known to be short
        running = pool.submit(briefly, gate)
        behind = []
        for _ in range(2):
            pid = int(until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), 30))
            behind += [pool.submit(briefly) for _ in range(5)]
            until(lambda: pool.status().worker_infos[0].tasks == 6, 30)
            (tmp_path / "pid").unlink()
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerLostError) as caught:
            running.result(30)
        assert (caught.value.attempts, caught.value.signal) == (2, "SIGKILL")
        assert "last note" not in str(caught.value)
        # They waited with the worker, behind the one that ran, and were not charged.
        assert all(future.result(30) for future in behind)


def test_a_killer_among_tiny_tasks_is_found_where_no_memory_is_shared(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=2, max_retries=1, restart_backoff=QUICK) as pool:
        list(pool.map(abs, range(100)))
        tasks = [pool.submit(abs, -number) for number in range(300)]
        killer = pool.submit(os._exit, 3)
        tasks += [pool.submit(abs, -number) for number in range(300, 600)]
        with pytest.raises(WorkerLostError) as caught:
            killer.result(30)
        assert (caught.value.exit_code, caught.value.attempts) == (3, 2)
        assert [task.result(30) for task in tasks] == list(range(600))


def test_what_a_witness_leaves_for_the_driver_is_not_shown(etcd: EtcdProcess, namespace: str) -> None:
    shown: list[str] = []

    def sink(_stream: str, text: str) -> None:
        shown.append(text)

    with (
        PretendLauncher(sink=sink) as launcher,
        IrisClient.remote(etcd.url, namespace=namespace, launcher=launcher) as client,
        WorkerPool(client, num_workers=1) as pool,
    ):
        pool.submit(print, "hello").result(30)
    assert "".join(shown) == "[worker-0] hello\n"
    assert "last note" in launcher.launches[0].logs(0)


def test_a_task_with_a_timeout_ends_in_time_where_nobody_sees_when_it_began(
    client: IrisClient, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with WorkerPool(client, num_workers=1, cancel_grace=0.1, restart_backoff=QUICK) as pool:
        for _ in range(5):
            pool.submit(briefly).result(30)
        late = pool.options(timeout=0.5).submit(briefly, gate)
        others = [pool.submit(briefly) for _ in range(5)]
        with pytest.raises(TimeoutError):
            late.result(30)
        assert all(future.result(30) for future in others)


# --- secrets -------------------------------------------------------------------------------------------


def what_others_can_list() -> tuple[str, str, list[str]]:
    listed = [Path("/proc/self", name).read_bytes().decode() for name in ("environ", "cmdline")]
    return listed[0], listed[1], sorted(os.environ)


def test_the_secret_of_a_pool_is_in_no_environment_and_on_no_command_line(
    client: IrisClient, launcher: PretendLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs: list[LaunchSpec] = []
    launch = PretendLauncher.launch

    def noting(self: PretendLauncher, spec: LaunchSpec, **options: Any) -> Any:
        specs.append(spec)
        return launch(self, spec, **options)

    monkeypatch.setattr(PretendLauncher, "launch", noting)
    with WorkerPool(client, num_workers=1) as pool:
        environ, command, variables = pool.submit(what_others_can_list).result(30)
        assert pool.submit(os.getenv, "IRIS_REGISTRY").result(30) == client.registry_url
    (spec,) = specs
    assert len(spec.secrets) == 2
    for name, secret in spec.secrets.items():
        assert secret not in environ
        assert secret not in command
        assert secret not in repr(spec)
        assert secret not in "".join(spec.env.values())
        assert name not in variables or name == "IRIS_REGISTRY"
    assert client.registry_url in spec.secrets.values(), "a URL may hold a password"


def test_each_pool_has_a_secret_of_its_own(client: IrisClient, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[set[str]] = []
    launch = PretendLauncher.launch

    def noting(self: PretendLauncher, spec: LaunchSpec, **options: Any) -> Any:
        found.append(set(spec.secrets.values()) - {client.registry_url})
        return launch(self, spec, **options)

    monkeypatch.setattr(PretendLauncher, "launch", noting)
    for _ in range(2):
        with WorkerPool(client, num_workers=1) as pool:
            pool.submit(abs, -1).result(30)
    (first,), (second,) = found
    assert first != second


# --- launchers of another contract ---------------------------------------------------------------------


class OldLauncher:
    """As launchers were before jobs."""

    poll_interval = 1.0
    python = ("python",)
    bind_host = "127.0.0.1"
    has_recorder = False

    def launch(self, spec: LaunchSpec, *, notify: Callable[[], None] | None = None) -> Any: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class OldLaunch:
    def poll(self) -> tuple[()]:
        return ()

    def cancel(self, replica: int | None = None, *, grace: float = 5.0) -> None: ...

    def last_words(self, replica: int) -> str:
        return ""


def test_a_launcher_of_the_old_contract_is_told_what_it_lacks(etcd: EtcdProcess) -> None:
    with pytest.raises(LauncherContractError, match="OldLauncher is no launcher: it has no traits, attach"):
        IrisClient.remote(etcd.url, launcher=OldLauncher())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        IrisClient.local(launcher=OldLauncher())  # type: ignore[arg-type]


def test_launches_of_the_old_contract_break_the_pool_and_are_told_what_they_lack(etcd: EtcdProcess) -> None:
    class HalfNew(LocalLauncher):
        def launch(self, spec: LaunchSpec, **_: Any) -> Any:
            return OldLaunch()

    with HalfNew() as launcher, IrisClient.remote(etcd.url, launcher=launcher) as client:
        with WorkerPool(client, num_workers=1) as pool:
            with pytest.raises(
                BrokenWorkerPool, match="OldLaunch is no launch: it has no ref, logs, recorded"
            ):
                pool.submit(abs, -1).result(30)
