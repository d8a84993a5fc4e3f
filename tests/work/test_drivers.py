"""Whole programs as drivers: functions of ``__main__``, output, and every way in which a driver can end."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Script

Finish = Callable[..., tuple[int, str, str]]
AllGone = Callable[[list[int], float], list[int]]


def test_functions_classes_lambdas_and_closures_of_main_travel_by_value(finish: Finish) -> None:
    code, out, err = finish("""
        import dataclasses
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        FACTOR = 3

        @dataclasses.dataclass
        class Point:
            x: int
            def scaled(self, by):
                return Point(self.x * by)

        def helper(x):
            return x * FACTOR

        def work(point):
            return Point(helper(point.x))

        class Odd(Exception):
            def __init__(self, n, why):
                super().__init__(f"{n} is odd")
                self.n = n

        def fail(n):
            raise Odd(n, why="because")

        def make(n):
            return lambda x: x + n

        if __name__ == "__main__":
            with WorkerPool(num_workers=2) as pool:
                result = pool.submit(work, Point(5)).result(30)
                assert type(result) is Point and result == Point(15), result
                FACTOR = 10
                assert pool.submit(work, Point(5)).result(30) == Point(50), "rebinding is noticed"
                assert pool.submit(Point(2).scaled, 4).result(30) == Point(8)
                assert pool.submit(make(7), 1).result(30) == 8
                assert pool.submit(pool.submit(make, 2).result(30), 1).result(30) == 3
                assert list(pool.map(lambda x: x * FACTOR, range(5))) == [0, 10, 20, 30, 40]
                try:
                    pool.submit(fail, 3).result(30)
                except Odd as error:
                    assert error.n == 3 and str(error) == "3 is odd"
                else:
                    raise SystemExit("no exception")
            print("done")
    """)
    assert (code, out, err) == (0, "done\n", "")


@pytest.mark.parametrize(
    "line",
    [
        "from concurrent.futures import ProcessPoolExecutor as Pool",
        "from iris_actor.work.pool.executor.worker_pool import WorkerPool as Pool",
    ],
)
def test_switching_from_process_pool_executor_is_one_line(finish: Finish, line: str) -> None:
    code, out, err = finish(f"""
        {line}
        from concurrent.futures import as_completed

        def square(n):
            return n * n

        if __name__ == "__main__":
            with Pool(max_workers=2) as pool:
                futures = {{pool.submit(square, n): n for n in range(20)}}
                squares = {{futures[future]: future.result() for future in as_completed(futures, timeout=30)}}
                assert squares == {{n: n * n for n in range(20)}}
                assert list(pool.map(pow, range(5), [2] * 5, chunksize=2)) == [0, 1, 4, 9, 16]
            print("same")
    """)
    assert (code, out, err) == (0, "same\n", "")


def test_modules_beside_the_driver_are_importable_in_workers(finish: Finish, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("import os\ndef f():\n    return __name__, os.getcwd()\n")
    code, out, err = finish(
        """
        import beside
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        with WorkerPool(num_workers=1) as pool:
            print(*pool.submit(beside.f).result(30))
        """,
        cwd=Path("/"),
    )
    assert (code, out, err) == (0, "beside /\n", "")


def test_a_driver_without_a_main_guard_works_too(finish: Finish) -> None:
    code, out, err = finish("""
        from iris_actor.work.pool.executor.worker_pool import WorkerPool
        pool = WorkerPool(num_workers=1)
        print(pool.submit(lambda: "no guard needed").result(30))
        pool.shutdown()
    """)
    assert (code, out, err) == (0, "no guard needed\n", "")


def test_modules_that_workers_cannot_import_travel_by_value(finish: Finish, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "secret.py").write_text(
        "import helper\nclass Box:\n    def __init__(self, v): self.v = v\n"
        "def f(box): return Box(helper.double(box.v))\n"
    )
    (hidden / "helper.py").write_text("def double(x): return 2 * x\n")
    code, out, err = finish(f"""
        import importlib.util, sys
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def load(name):
            spec = importlib.util.spec_from_file_location(name, {str(hidden)!r} + f"/{{name}}.py")
            sys.modules[name] = module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module

        helper, secret = load("helper"), load("secret")
        with WorkerPool(num_workers=2) as pool:
            results = [pool.submit(secret.f, secret.Box(n)) for n in range(20)]
            print(sum(result.result(30).v for result in results))
    """)
    assert (code, out, err) == (0, "380\n", "")


def test_output_reaches_the_driver_with_the_name_of_the_worker(finish: Finish) -> None:
    code, out, err = finish("""
        import sys
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def talk(n):
            print("line", n)
            print("warn", n, file=sys.stderr)

        with WorkerPool(num_workers=2) as pool:
            for future in [pool.submit(talk, n) for n in range(50)]:
                future.result(30)
    """)
    assert code == 0
    for text, word in ((out, "line"), (err, "warn")):
        lines = text.splitlines()
        assert {line.split("] ")[0] for line in lines} <= {"[worker-0", "[worker-1"}
        assert sorted(line.split("] ")[1] for line in lines) == sorted(f"{word} {n}" for n in range(50))


def test_a_million_lines_of_output_all_arrive(finish: Finish) -> None:
    code, out, err = finish("""
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def flood(n):
            import sys
            for i in range(n // 1000):
                sys.stdout.write("x\\n" * 1000)
            return n

        with WorkerPool(num_workers=1) as pool:
            assert pool.submit(flood, 1_000_000).result(50) == 1_000_000
    """)
    assert (code, err) == (0, "")
    assert out.count("[worker-0] x\n") == 1_000_000


DRIVER = """
    import json, os, signal, subprocess, sys, time
    from iris_actor.work.pool.executor.worker_pool import WorkerPool

    def start(pool, fifo):
        futures = [pool.submit(tell, fifo) for _ in range(2)]
        with os.fdopen(os.open(fifo, os.O_RDWR)) as pipe:  # open at both ends: it never ends by itself
            pids = [pid for _ in range(2) for pid in json.loads(pipe.readline())]
        print(json.dumps(pids), flush=True)
        return futures

    def tell(fifo):
        child = subprocess.Popen(["sleep", "600"])
        escaped = subprocess.Popen(["sleep", "600"], start_new_session=True)
        with open(fifo, "w") as pipe:
            pipe.write(json.dumps([os.getpid(), child.pid, escaped.pid]) + "\\n")
        {hog}

    fifo = sys.argv[0] + ".fifo"
    os.mkfifo(fifo)
"""
SLEEP = "time.sleep(600)"
HOG = 'import re; re.match("(a*)*b", "a" * 64)'


def pids_of(driver: object) -> list[int]:
    line = driver.stdout.readline()  # type: ignore[attr-defined]
    assert line, driver.communicate()[1]  # type: ignore[attr-defined]
    pids = json.loads(line)
    assert len(pids) == 6
    return pids


def test_a_driver_killed_with_sigkill_leaves_no_worker_after_two_seconds(
    script: Script, all_gone: AllGone
) -> None:
    driver = script(
        DRIVER.replace("{hog}", HOG)
        + """
    pool = WorkerPool(num_workers=2)
    futures = start(pool, fifo)
    signal.pause()
    """
    )
    pids = pids_of(driver)
    driver.kill()
    assert all_gone(pids, 2) == []


def test_ctrl_c_in_a_with_block_leaves_no_process(script: Script, all_gone: AllGone) -> None:
    driver = script(
        DRIVER.replace("{hog}", SLEEP)
        + """
    with WorkerPool(num_workers=2) as pool:
        futures = start(pool, fifo)
        futures[0].result()
    """
    )
    pids = pids_of(driver)
    os.killpg(driver.pid, signal.SIGINT)
    _, err = driver.communicate(timeout=20)
    assert driver.returncode != 0
    assert "KeyboardInterrupt" in err
    assert "BrokenWorkerPool" not in err
    assert all_gone(pids, 2) == []


def test_ctrl_c_without_a_with_block_leaves_no_process(script: Script, all_gone: AllGone) -> None:
    driver = script(
        DRIVER.replace("{hog}", SLEEP)
        + """
    pool = WorkerPool(num_workers=2)
    futures = start(pool, fifo)
    futures[0].result()
    """
    )
    pids = pids_of(driver)
    os.killpg(driver.pid, signal.SIGINT)
    driver.communicate(timeout=20)
    assert all_gone(pids, 2) == []


def test_ctrl_c_while_waiting_in_shutdown_leaves_no_process(script: Script, all_gone: AllGone) -> None:
    driver = script(
        DRIVER.replace("{hog}", SLEEP)
        + """
    with WorkerPool(num_workers=2) as pool:
        futures = start(pool, fifo)
    """
    )
    pids = pids_of(driver)
    os.killpg(driver.pid, signal.SIGINT)
    driver.communicate(timeout=20)
    assert all_gone(pids, 2) == []


def test_sigterm_to_the_driver_leaves_no_process(script: Script, all_gone: AllGone) -> None:
    driver = script(
        DRIVER.replace("{hog}", SLEEP)
        + """
    pool = WorkerPool(num_workers=2)
    futures = start(pool, fifo)
    signal.pause()
    """
    )
    pids = pids_of(driver)
    driver.terminate()
    driver.communicate(timeout=20)
    assert all_gone(pids, 2) == []


def test_the_interpreter_finishes_submitted_tasks_before_it_exits(finish: Finish) -> None:
    code, out, err = finish("""
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        pool = WorkerPool(num_workers=2)
        for n in range(5):
            pool.submit(pow, n, 2).add_done_callback(lambda future: print(future.result(), flush=True))
    """)
    assert (code, sorted(out.split()), err) == (0, ["0", "1", "16", "4", "9"], "")


def test_a_forked_child_is_told_that_the_pool_is_not_its_own(finish: Finish) -> None:
    code, out, err = finish("""
        import os, sys
        from iris_actor.errors import ForkedProcessError
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        with WorkerPool(num_workers=1) as pool:
            assert pool.submit(abs, -1).result(30) == 1
            if os.fork() == 0:
                try:
                    pool.submit(abs, -2)
                except ForkedProcessError as error:
                    assert error.parent_pid == os.getppid()
                    sys.exit(7)  # leaves the context, in the child
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
            assert pool.submit(abs, -3).result(30) == 3
        print("done")
    """)
    assert (code, out, err) == (0, "done\n", "")


def test_a_task_outlives_the_deadline_of_the_call_that_submits_it(finish: Finish) -> None:
    code, out, err = finish("""
        import time
        from iris_actor import FixedResolver
        from iris_actor.actor.server import ActorServer
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def slow():
            time.sleep(0.7)
            return "finished"

        class Front:
            def go(self):
                futures.append(pool.submit(slow))

        futures = []
        with WorkerPool(num_workers=1) as pool, ActorServer(namespace="x") as server:
            pool.wait_for_workers(timeout=30)
            server.register("front", Front())
            server.serve_background()
            FixedResolver({"front": server.address}, namespace="x").lookup("front").call(timeout=0.5).go()
            print(futures[0].result(30))
    """)
    assert (code, out, err) == (0, "finished\n", "")


def test_a_pool_inside_a_task_uses_the_registry_of_the_job(finish: Finish) -> None:
    code, out, err = finish("""
        from iris_actor.work.context import get_iris_ctx, iris_ctx
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def inner():
            return str(iris_ctx().job_id)

        def outer():
            with WorkerPool(num_workers=1, name="inner") as pool:
                return inner(), pool.submit(inner).result(30)

        if __name__ == "__main__":
            assert get_iris_ctx() is None
            with WorkerPool(num_workers=1, name="outer") as pool:
                one, two = pool.submit(outer).result(40)
                assert one.endswith("/outer/worker-0"), one
                assert two == one + "/inner/worker-0", two
            print("done")
    """)
    assert (code, out, err) == (0, "done\n", "")
