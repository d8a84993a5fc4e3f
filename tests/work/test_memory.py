"""Memory limits of workers, and what is said when the kernel's out-of-memory killer ends one.

The limits are the system's, the kills are the kernel's.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from iris_actor.errors import PayloadTooLargeError, RemoteError, SerializationError, WorkerLostError
from iris_actor.retry import Backoff
from iris_actor.work.client import IrisClient
from iris_actor.work.launch.launcher import Launch, LaunchSpec, ReplicaState, ReplicaStatus
from iris_actor.work.launch.local.local_launcher import LocalLauncher
from iris_actor.work.launch.resource_spec import ResourceSpec
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from iris_actor.work.process.oom_watch import OomWatch
from tests.support.cgroups import memory_cgroup
from tests.support.waiting import until

MB = 1_000_000
QUICK = Backoff(first=0.01, most=0.05)
ACCEPTABLE = (MemoryError, PayloadTooLargeError, SerializationError, RemoteError, WorkerLostError)
"""What may become of a task whose arguments or result are too much for its worker.

A RemoteError when there was not even memory to pickle one of the others.
"""
SAYS_WHY = "the worker's memory limit is 400 MB (ResourceSpec.memory)"

Finish = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def limited(client: IrisClient) -> Iterator[WorkerPool]:
    """Two workers that may take 400 MB each."""
    with WorkerPool(
        client, num_workers=2, resources=ResourceSpec(memory="400MB"), restart_backoff=QUICK
    ) as pool:
        pool.wait_for_workers(timeout=30)
        yield pool


@pytest.fixture
def fresh(client: IrisClient) -> Iterator[WorkerPool]:
    """Another one like that, for a test that may cost workers their lives, or needs all of their memory."""
    with WorkerPool(
        client, num_workers=2, resources=ResourceSpec(memory="400MB"), restart_backoff=QUICK
    ) as pool:
        pool.wait_for_workers(timeout=30)
        yield pool


def is_healthy(pool: WorkerPool) -> bool:
    """Whether all workers come back to work."""
    pool.wait_for_workers(timeout=30)
    futures = [pool.submit(abs, -n) for n in range(20)]
    return [future.result(30) for future in futures] == list(range(20)) and pool.status().broken is None


def pids(pool: WorkerPool) -> set[int]:
    return {info.pid for info in pool.status().worker_infos}


# --- what a task may take -------------------------------------------------------------------------------


def resident(_n: int = 0) -> int:
    return psutil.Process().memory_info().rss


def one_block(size: int) -> int:
    return len(bytearray(size))


def array(size: int) -> int:
    return int(np.ones(size // 8).nbytes)


def many_small_ones() -> None:
    kept = []
    while True:
        kept.append(str(len(kept)))


def one_list_that_grows() -> None:
    kept: list[int] = []
    while True:
        kept.extend(range(10**6))


def every_last_byte() -> None:
    """The list has its size from the begin, so that nothing large fails before the memory is really full."""
    kept: list[int | None] = [None] * (25 * 10**6)
    for number in range(len(kept)):
        kept[number] = number + 1000


@pytest.mark.parametrize(
    ("task", "arguments"),
    [
        (one_block, (500 * MB,)),
        (array, (500 * MB,)),
        (many_small_ones, ()),
        (one_list_that_grows, ()),
        (every_last_byte, ()),
    ],
)
def test_a_task_that_asks_for_more_than_the_limit_gets_a_memory_error_that_says_so(
    limited: WorkerPool, task: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    before = pids(limited)
    error = limited.submit(task, *arguments).exception(50)
    assert isinstance(error, MemoryError)
    assert SAYS_WHY in "".join(traceback.format_exception(error))
    assert is_healthy(limited)
    assert pids(limited) == before, "the workers survived"
    assert limited.submit(one_block, 150 * MB).result(30) == 150 * MB, "what the task held was given back"


def test_what_fits_below_the_limit_is_given(fresh: WorkerPool) -> None:
    assert fresh.submit(one_block, 200 * MB).result(30) == 200 * MB
    assert fresh.submit(array, 200 * MB).result(30) == 200 * MB


def fill_up() -> int:
    """Asks for memory until there is none; returns what the process had in memory then."""
    kept = []
    try:
        while True:
            kept.append(b"x" * MB)
    except MemoryError:
        return resident()


def test_a_process_stays_below_its_limit(limited: WorkerPool) -> None:
    most = limited.submit(fill_up).result(30)
    assert 300 * MB < most < 405 * MB


def test_a_pool_without_a_limit_has_none(client: IrisClient) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        assert pool.submit(one_block, 500 * MB).result(30) == 500 * MB


def child_takes(size: int) -> str:
    """What becomes of a child that asks for so much."""
    answers, answer = multiprocessing.get_context("fork").Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        try:
            answer.send(f"got {one_block(size)}")
        except MemoryError:
            answer.send("refused")
        os._exit(0)
    os.waitpid(pid, 0)
    return str(answers.recv())


def test_children_that_a_task_forks_inherit_the_limit(limited: WorkerPool) -> None:
    assert limited.submit(child_takes, 100 * MB).result(30) == f"got {100 * MB}"
    assert limited.submit(child_takes, 500 * MB).result(30) == "refused"


def test_programs_that_a_task_starts_do_not_find_the_limit_in_their_environment(limited: WorkerPool) -> None:
    assert limited.submit(os.getenv, "IRIS_MEMORY_LIMIT").result(30) is None


# --- what travels -----------------------------------------------------------------------------------------


def length(value: Any) -> int:
    return len(value)


def give(size: int) -> np.ndarray:
    return np.ones(size, np.uint8)


held: list[np.ndarray] = []


def hold(size: int) -> None:
    held[:] = [np.ones(size, np.uint8)]


@pytest.mark.parametrize("size", [50, 100])
def test_large_arguments_and_results_that_fit_below_the_limit_arrive(fresh: WorkerPool, size: int) -> None:
    assert fresh.submit(length, np.ones(size * MB, np.uint8)).result(40) == size * MB
    result = fresh.submit(give, size * MB).result(40)
    assert result.nbytes == size * MB
    assert result.all()


@pytest.mark.parametrize("size", [150, 300])
def test_arguments_and_results_near_or_over_the_limit_end_their_own_tasks_only(
    fresh: WorkerPool, size: int
) -> None:
    for future in (fresh.submit(length, np.ones(size * MB, np.uint8)), fresh.submit(give, size * MB)):
        error = future.exception(50)
        assert isinstance(error, ACCEPTABLE) or (error is None and size < 300)
        assert is_healthy(fresh)


def test_large_arguments_arrive_or_fail_while_the_workers_are_nearly_full(fresh: WorkerPool) -> None:
    for full in (250, 280, 300, 310):
        for future in [fresh.submit(hold, full * MB) for _ in range(2)]:
            future.exception(40)
        error = fresh.submit(length, b"x" * (50 * MB)).exception(50)
        assert error is None or isinstance(error, ACCEPTABLE)
        assert is_healthy(fresh)


# --- the kernel's out-of-memory killer ----------------------------------------------------------------------


HOG = """
import os, sys
if len(sys.argv) > 1:
    with open(sys.argv[1], "w") as procs:
        procs.write(str(os.getpid()))
kept = []
while True:
    kept.append(b"x" * 1_000_000)
"""


def end_of(launch: Launch) -> ReplicaStatus:
    until(lambda: launch.poll()[0].state is ReplicaState.ENDED)
    return launch.poll()[0]


def test_a_worker_that_the_out_of_memory_killer_ended_says_so_with_the_cgroup_and_its_limit(
    finish: Finish,
) -> None:
    with memory_cgroup(500 * MB) as group:
        code, out, err = finish(f"""
            import os

            with open("{group.entrance}", "w") as procs:
                procs.write(str(os.getpid()))

            from iris_actor.work.client import IrisClient
            from iris_actor.work.pool.executor.worker_pool import WorkerPool

            def hog():
                kept = []
                while True:
                    kept.append(b"x" * 1_000_000)

            with IrisClient.local() as client, WorkerPool(client, num_workers=2, max_retries=0) as pool:
                pool.wait_for_workers(timeout=30)
                error = pool.submit(hog).exception(40)
                print(repr(error.signal))
                print(error.reason)
                print(error)
                print(pool.submit(abs, -1).result(40))
            """)
        assert code == 0, err
        number, reason, message, healthy = out.splitlines()
        assert number == "'SIGKILL'"
        words = f"the kernel's out-of-memory killer ended it (cgroup /{group.folder.name}: limit 500 MB)"
        assert reason == words
        assert message.endswith(f" was ended by SIGKILL while it ran the task (attempt 1): {words}")
        assert healthy == "1"


def test_a_process_that_was_moved_to_a_cgroup_just_before_is_explained_too() -> None:
    with memory_cgroup(100 * MB) as group, LocalLauncher() as launcher:
        launch = launcher.launch(LaunchSpec("job", (sys.executable, "-c", HOG, str(group.entrance))))
        status = end_of(launch)
    assert status.signal == "SIGKILL"
    assert "out-of-memory killer" in status.reason
    assert "probably" in status.reason or f"(cgroup /{group.folder.name}: limit 100 MB)" in status.reason


def test_a_kill_that_came_from_elsewhere_is_not_blamed_on_memory() -> None:
    with LocalLauncher() as launcher:
        launch = launcher.launch(LaunchSpec("job", ("sleep", "600")))
        os.kill(launch.poll()[0].pid, signal.SIGKILL)
        status = end_of(launch)
    assert (status.signal, status.reason) == ("SIGKILL", "")


def test_one_victim_explains_one_end() -> None:
    with memory_cgroup(100 * MB) as group, LocalLauncher() as launcher:
        hog = launcher.launch(LaunchSpec("job", (sys.executable, "-c", HOG, str(group.entrance))))
        other = launcher.launch(LaunchSpec("job", ("sleep", "600")))
        assert "out-of-memory killer" in end_of(hog).reason
        os.kill(other.poll()[0].pid, signal.SIGKILL)
        assert end_of(other).reason == ""


def test_a_kill_by_the_launcher_says_so() -> None:
    source = "import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    lines: list[str] = []
    with LocalLauncher(sink=lambda _stream, text: lines.append(text)) as launcher:
        launch = launcher.launch(LaunchSpec("job", (sys.executable, "-c", source)))
        until(lambda: lines)
        launch.cancel(grace=0.1)
        status = end_of(launch)
    assert (status.signal, status.reason) == ("SIGKILL", "killed 0.1 s after it was asked to end")


@pytest.mark.parametrize("root", ["/", "/container"])
def test_the_files_of_cgroup_v2_are_understood(tmp_path: Path, root: str) -> None:
    """The format only: a machine has either version, and the tests above ask that of this one."""
    proc, mount = tmp_path / "proc", tmp_path / "cgroup"
    group = mount / "slice" / "scope"
    group.mkdir(parents=True)
    for folder in ("self", "41", "42", "43"):
        (proc / folder).mkdir(parents=True)
        (proc / folder / "cgroup").write_text(f"0::{root.rstrip('/')}/slice/scope\n")
    (proc / "self" / "mountinfo").write_text(
        f"30 24 0:26 {root} {mount} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    (proc / "vmstat").write_text("pgfault 7\noom_kill 5\n")
    (group / "memory.max").write_text("max\n")
    (mount / "slice" / "memory.max").write_text("200000000\n")
    (group / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    watch = OomWatch(proc)
    watch.watch(41)
    watch.watch(42)
    watch.watch(43)
    assert watch.killed(41) == ""
    (proc / "vmstat").write_text("pgfault 7\noom_kill 6\n")
    assert watch.killed(41) == "", "the killer was elsewhere: this cgroup counts none"
    (proc / "vmstat").write_text("pgfault 7\noom_kill 8\n")
    (group / "memory.events").write_text("low 0\noom 3\noom_kill 4\n")
    where = f"cgroup {root.rstrip('/')}/slice: limit 200 MB"
    for pid in (41, 42):
        assert watch.killed(pid) == f"the kernel's out-of-memory killer ended it ({where})"
    assert watch.killed(43) == ""
    (proc / "vmstat").write_text("pgfault 7\noom_kill 9\n")
    (proc / "43" / "cgroup").write_text("0::/elsewhere\n")
    assert watch.killed(43) == "the kernel's out-of-memory killer probably ended it"
