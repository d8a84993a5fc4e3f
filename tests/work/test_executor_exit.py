"""The end of the interpreter, and forks of it: what was accepted is done, the rest is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Finish = Callable[..., tuple[int, str, str]]


def test_all_that_was_accepted_is_done_whether_or_not_anybody_refers_to_it(
    finish: Finish, tmp_path: Path
) -> None:
    folder = tmp_path / "done"
    folder.mkdir()
    code, out, err = finish(f"""
        from pathlib import Path
        from iris_actor.work.client import IrisClient
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def touch(name):
            Path({str(folder)!r}, str(name)).touch()

        def use(pool, name):
            for n in range(20):
                pool.submit(touch, f"{{name}}-{{n}}")
            pool.map(touch, [f"{{name}}-{{n}}" for n in range(20, 60)])
            return pool.map(touch, (f"{{name}}-{{n}}" for n in range(60, 100)))

        client = IrisClient.local()
        kept = WorkerPool(client, num_workers=1)
        results = use(kept, "kept")
        use(WorkerPool(client, num_workers=1), "dropped")
        ended = WorkerPool(client, num_workers=1)
        use(ended, "ended")
        ended.shutdown(wait=False)
    """)
    assert (code, out, err) == (0, "", "")
    expected = {f"{name}-{n}" for name in ("kept", "dropped", "ended") for n in range(100)}
    assert {path.name for path in folder.iterdir()} == expected


def test_a_program_that_ends_with_an_exception_finishes_its_tasks(finish: Finish) -> None:
    code, out, err = finish("""
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        pool = WorkerPool(num_workers=1)
        for n in range(3):
            pool.submit(pow, n, 2).add_done_callback(lambda future: print(future.result(), flush=True))
        raise LookupError("of the program")
    """)
    assert (code, out) == (1, "0\n1\n4\n")
    assert "LookupError: of the program" in err
    assert "RuntimeError" not in err


def test_cancelled_tasks_do_not_hold_up_the_end(finish: Finish) -> None:
    code, out, err = finish("""
        import time
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        pool = WorkerPool(num_workers=1)
        pool.wait_for_workers(timeout=30)
        running = pool.submit(time.sleep, 0.2)
        futures = [pool.submit(time.sleep, 600) for _ in range(20)]
        pool.shutdown(wait=False, cancel_futures=True)
        print(sum(future.cancelled() for future in futures))
    """)
    assert (code, out, err) == (0, "20\n", "")


def test_what_an_atexit_handler_submits_is_refused(finish: Finish) -> None:
    code, out, err = finish("""
        import atexit
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        @atexit.register
        def late():
            for use in (
                lambda: pool.submit(abs, 1),
                lambda: list(pool.map(abs, [1])),
                lambda: pool.options(timeout=1).submit(abs, 1),
                lambda: WorkerPool(num_workers=1),
            ):
                try:
                    print("accepted", use())
                except RuntimeError as error:
                    print(error)
            pool.shutdown()

        pool = WorkerPool(num_workers=1)
        assert pool.submit(abs, -1).result(30) == 1
    """)
    assert (code, err) == (0, "")
    refused = "cannot schedule new futures after interpreter shutdown"
    assert out.splitlines() == [refused] * 3 + ["cannot make a WorkerPool after interpreter shutdown"]


def test_an_atexit_handler_may_not_make_the_first_pool_either(finish: Finish) -> None:
    code, out, err = finish("""
        import atexit
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        @atexit.register
        def late():
            try:
                print("accepted", WorkerPool(num_workers=1))
            except RuntimeError as error:
                print(error)
    """)
    assert (code, out, err) == (0, "cannot make a WorkerPool after interpreter shutdown\n", "")


def test_a_thread_that_goes_on_when_the_program_ends_is_refused_and_hangs_nothing(finish: Finish) -> None:
    code, out, err = finish("""
        import threading
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def go_on():
            done = 0
            try:
                while True:
                    assert pool.submit(abs, -1).result(30) == 1
                    done += 1
                    some.set()
            except RuntimeError as error:
                print(done > 0, error)

        pool = WorkerPool(num_workers=1)
        some = threading.Event()
        threading.Thread(target=go_on).start()
        assert some.wait(30)
    """)
    assert (code, err) == (0, "")
    assert out == "True cannot schedule new futures after interpreter shutdown\n"


def test_a_callback_that_submits_at_the_end_is_refused_and_hangs_nothing(finish: Finish) -> None:
    code, out, err = finish("""
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def follow(future):
            try:
                while True:
                    pool.submit(abs, -1)
            except RuntimeError as error:
                print(error)

        pool = WorkerPool(num_workers=1)
        pool.submit(abs, -1).add_done_callback(follow)
    """)
    assert (code, err) == (0, "")
    assert out == "cannot schedule new futures after interpreter shutdown\n"


def test_a_pool_made_in_a_thread_ends_with_the_program(finish: Finish) -> None:
    code, out, err = finish("""
        import threading
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def work():
            global pool
            pool = WorkerPool(num_workers=1)
            pool.submit(abs, -1).add_done_callback(lambda future: print(future.result()))

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join()
    """)
    assert (code, out, err) == (0, "1\n", "")


def test_tasks_that_were_submitted_at_the_last_moment_all_run(finish: Finish, tmp_path: Path) -> None:
    code, out, err = finish(f"""
        from pathlib import Path
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def touch(n):
            Path({str(tmp_path)!r}, f"done-{{n}}").touch()
            if n % 2:
                raise LookupError(n)

        pool = WorkerPool(num_workers=1)
        for n in range(4):
            pool.submit(touch, n).add_done_callback(lambda future: print(type(future.exception())))
    """)
    assert (code, err) == (0, "")
    assert out.splitlines() == ["<class 'NoneType'>", "<class 'LookupError'>"] * 2
    assert len(list(tmp_path.glob("done-*"))) == 4


def test_workers_are_replaced_and_tasks_run_again_also_at_the_end(finish: Finish, tmp_path: Path) -> None:
    code, out, err = finish(f"""
        import os, signal
        from pathlib import Path
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def die_once(n):
            mark = Path({str(tmp_path)!r}, f"died-{{n}}")
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return n

        pool = WorkerPool(num_workers=2)
        for n in range(3):
            pool.submit(die_once, n).add_done_callback(lambda future: print(future.result(), flush=True))
    """)
    assert (code, err) == (0, "")
    assert sorted(out.split()) == ["0", "1", "2"]


def test_a_pool_without_workers_starts_some_for_what_is_left_at_the_end(finish: Finish) -> None:
    code, out, err = finish("""
        import time
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        pool = WorkerPool(num_workers=(0, 2), idle_timeout=0.2)
        for n in range(4):
            pool.submit(time.sleep, 0.3).add_done_callback(lambda future: print("done", flush=True))
        pool.put(bytes(10)), pool.map(print, ["unread"] * 3)
    """)
    assert (code, err) == (0, "")
    assert (out.count("done\n"), out.count("] unread\n")) == (4, 3)


def test_large_arguments_and_results_travel_at_the_end_too(finish: Finish) -> None:
    code, out, err = finish("""
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def same(data):
            return data

        pool = WorkerPool(num_workers=1)
        for n in range(4):
            future = pool.submit(same, bytes(3_000_000))
            future.add_done_callback(lambda future: print(len(future.result())))
    """)
    assert (code, out, err) == (0, "3000000\n" * 4, "")


FORKED = """
    import os, sys, threading
    from iris_actor.errors import ForkedProcessError
    from iris_actor.work.pool.executor.worker_pool import WorkerPool

    def in_child(uses):
        pid = os.fork()
        if pid == 0:
            for use in uses:
                try:
                    print("did", use(), flush=True)
                except ForkedProcessError as error:
                    print(error.parent_pid == os.getppid(), flush=True)
                except BaseException as error:
                    print(repr(error), flush=True)
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7

    if __name__ == "__main__":
        pool = WorkerPool(num_workers=1)
        future = pool.submit(abs, -1)
        assert future.result(30) == 1
"""


def test_whatever_a_forked_child_asks_of_the_pool_is_refused(finish: Finish) -> None:
    code, out, err = finish(
        FORKED
        + """
        uses = [
            lambda: pool.submit(abs, 1),
            lambda: pool.map(abs, [1]),
            lambda: pool.options(timeout=1).submit(abs, 1),
            lambda: pool.put("data"),
            lambda: pool.resize(2),
            lambda: pool.wait_for_workers(timeout=5),
            lambda: pool.status(),
        ]
        in_child(uses)
        pool.resize(2)
        in_child([lambda: pool.wait_for_workers(2, timeout=5)])
        assert pool.submit(abs, -2).result(30) == 2
    """
    )
    assert (code, out, err) == (0, "True\n" * 8, "")


def test_a_forked_child_cannot_end_the_pool_of_its_parent_nor_make_one(finish: Finish) -> None:
    code, out, err = finish(
        FORKED
        + """
        def make():
            with WorkerPool(num_workers=1) as mine:
                try:
                    error = mine.submit(abs, -1).exception(20)
                except RuntimeError as refused:  # the pool was broken before
                    error = refused
                return "forked from" in str(error)

        def drop():
            del globals()["pool"]

        in_child([pool.shutdown, pool.kill, lambda: future.result(0), drop, make])
        before = {info.pid for info in pool.status().worker_infos}
        assert pool.submit(os.getpid).result(30) in before
        print("parent", len(before))
    """
    )
    assert (code, err) == (0, "")
    assert out == "did None\ndid None\ndid 1\ndid None\ndid True\nparent 1\n"
