"""What tasks write and log, as a person sees it who runs a whole program with a pool."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool

from .conftest import Script

Finish = Callable[..., tuple[int, str, str]]
COLUMNS = 100


class Screen:
    """What a terminal would show, all lines that scrolled away included."""

    def __init__(self) -> None:
        self._rows: list[list[str]] = [[]]
        self._row = self._column = 0

    def feed(self, text: str) -> None:
        for part in re.findall(r"\x1b\[A|\x1b|\r|\n|[^\x1b\r\n]+", text):
            if part == "\r":
                self._column = 0
            elif part == "\n":
                self._row += 1
                if self._row == len(self._rows):
                    self._rows.append([])
            elif part == "\x1b[A":
                self._row -= 1
            else:
                assert part != "\x1b", "a sequence that nobody should send"
                row = self._rows[self._row]
                row += " " * (self._column - len(row))
                row[self._column : self._column + len(part)] = part
                self._column += len(part)
                assert self._column <= COLUMNS

    @property
    def lines(self) -> list[str]:
        return [line for row in self._rows if (line := "".join(row).rstrip())]


def on_terminal(source: str, folder: Path, timeout: float = 40) -> tuple[int, list[str]]:
    """Runs a program on a terminal of its own: exit code, and what the terminal shows in the end."""
    path = folder / "driver.py"
    path.write_text(textwrap.dedent(source))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(path)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        start_new_session=True,
    )
    os.close(theirs)
    data = b""
    give_up = time.monotonic() + timeout
    try:
        while time.monotonic() < give_up:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # nobody has the terminal open any more
                break
            data += piece
        code = process.wait(max(0.1, give_up - time.monotonic()))
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    screen = Screen()
    screen.feed(data.decode())
    return code, screen.lines


DRAWN = """
import logging, sys
from tqdm import tqdm
from iris_actor.work.pool.executor.worker_pool import WorkerPool

def work(n):
    print("printed", n, "-" * 20)
    print("complained", n, "-" * 20, file=sys.stderr)
    logging.getLogger("app").info("logged %d %s", n, "-" * 20)
    return n

def progress(pool):
    return list(pool.map(work, range(400), progress=True))

def always(pool):
    return list(tqdm(pool.map(work, range(400)), total=400, mininterval=0, miniters=1))

def below(pool):
    results = []
    for start in tqdm(range(0, 400, 100), mininterval=0):
        part = pool.map(work, range(start, start + 100))
        results += tqdm(part, total=100, mininterval=0, leave=False)
    return results

logging.basicConfig(level="INFO", format="%(levelname)s %(message)s")
logging.getLogger("iris_actor").setLevel("WARNING")
with WorkerPool(num_workers=2) as pool:
    assert SHOW(pool) == list(range(400))
"""


@pytest.mark.parametrize("show", ["progress", "always", "below"])
def test_no_line_is_torn_on_a_terminal_where_a_bar_is_drawn(tmp_path: Path, show: str) -> None:
    code, lines = on_terminal(DRAWN.replace("SHOW", show), tmp_path)
    assert code == 0, lines[-20:]
    bars = [line for line in lines if not re.search(r"\[worker-[01]\]", line)]
    rest = [line.replace("worker-1", "worker-0") for line in lines if line not in bars]
    expected = [
        f"{head} {n} {'-' * 20}"
        for head in ("[worker-0] printed", "[worker-0] complained", "INFO [worker-0] logged")
        for n in range(400)
    ]
    assert sorted(rest) == sorted(expected)
    assert len(bars) == 1, bars
    assert bars[0].startswith("100%|")


def test_a_million_printed_lines_arrive_in_order_in_bounded_memory(finish: Finish) -> None:
    code, out, err = finish("""
        import resource, sys
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def flood(n):
            for i in range(n):
                print(i)

        def memory():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        with WorkerPool(num_workers=1) as pool:
            pool.submit(flood, 1000).result(30)
            before = memory()
            pool.submit(flood, 1_000_000).result(50)
        print(memory() - before, file=sys.stderr)
    """)
    assert code == 0
    assert int(err) < 32 * 1024, "kilobytes"
    numbers = [*range(1000), *range(1_000_000)]
    assert out == "".join(f"[worker-0] {n}\n" for n in numbers)


def test_all_output_is_there_when_shutdown_returns(finish: Finish) -> None:
    code, out, err = finish("""
        import logging, sys
        from iris_actor.work.client import IrisClient
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def work(n):
            logging.error("logged %d", n)
            for i in range(2000):
                print(n, i)
            print("without a newline", n, file=sys.stderr, end="")
            print("no end", end="")

        class Counting(logging.Handler):
            count = 0
            def emit(self, record):
                self.count += 1

        handler = Counting()
        logging.getLogger().addHandler(handler)
        with IrisClient.local() as client:
            for number in range(3):
                pool = WorkerPool(client, num_workers=2)
                for n in range(10):
                    pool.submit(work, n)
                pool.shutdown(wait=True)
                print(f"=== {handler.count}")
    """)
    assert (code, err.count("without a newline")) == (0, 30)
    parts = re.split(r"^=== (\d+)\n", out, flags=re.MULTILINE)
    assert parts[1::2] == ["10", "20", "30"]
    assert [part.count("\n") >= 20_000 for part in parts[::2]] == [True, True, True, False]
    assert [part.count("no end") for part in parts[::2]] == [10, 10, 10, 0]


def test_all_output_is_there_in_the_end_though_the_drivers_stream_is_slow(finish: Finish) -> None:
    code, out, err = finish("""
        import os, pathlib, sys, threading
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        class Slow:
            def __init__(self):
                self.go_on = threading.Event()
                self.text = ""
            def write(self, text):
                self.go_on.wait(30)
                self.text += text
            def flush(self):
                pass

        def work():
            print("line\\n" * 1000)
            return os.getpid()

        def open_when_ended(pid):
            while pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
                pass
            slow.go_on.set()

        slow = Slow()
        with WorkerPool(num_workers=1) as pool:
            pool.submit(abs, 1).result(30)
            sys.stdout = slow
            pid = pool.submit(work).result(30)
            threading.Thread(target=open_when_ended, args=(pid,)).start()
        sys.stdout = sys.__stdout__
        print(slow.text.count("[worker-0] line\\n"))
    """)
    assert (code, out, err) == (0, "1000\n", "")


def test_tasks_may_redirect_their_output_and_what_they_start_writes_along(finish: Finish) -> None:
    code, out, err = finish("""
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def work():
            import contextlib, io, os, subprocess, sys, tempfile
            captured = io.StringIO()
            with contextlib.redirect_stdout(captured), contextlib.redirect_stderr(captured):
                print("captured")
                print("captured", file=sys.stderr)
            assert captured.getvalue() == "captured\\n" * 2
            kept, sys.stdout = sys.stdout, io.StringIO()
            print("replaced")
            sys.stdout = kept
            print("one")
            with tempfile.TemporaryFile() as file:
                kept = os.dup(1)
                os.dup2(file.fileno(), 1)
                print("into the file")
                subprocess.run(["echo", "also into the file"], check=True)
                os.dup2(kept, 1)
                os.close(kept)
                file.seek(0)
                assert file.read() == b"into the file\\nalso into the file\\n"
            print("two")
            subprocess.run(["sh", "-c", "echo three; echo complaint >&2"], check=True)
            pid = os.fork()
            if pid == 0:
                print("four")
                os._exit(0)
            os.waitpid(pid, 0)
            sys.stdout.buffer.write(b"fi\\xffve\\n")
            sys.stdout.flush()
            os.write(1, b"six, ")
            os.write(1, b"without an end")

        with WorkerPool(num_workers=1) as pool:
            pool.submit(work).result(30)
    """)
    lines = ["one", "two", "three", "four", "fi\ufffdve", "six, without an end"]
    assert code == 0, err
    assert out == "".join(f"[worker-0] {line}\n" for line in lines)
    assert err == "[worker-0] complaint\n"


def test_a_very_long_line_arrives_whole_but_for_the_marks(finish: Finish) -> None:
    code, out, err = finish("""
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def work():
            print("<" + "=" * 3_000_000 + ">")

        with WorkerPool(num_workers=1) as pool:
            pool.submit(work).result(30)
    """)
    assert (code, err) == (0, "")
    assert out.replace("[worker-0] ", "").replace("\n", "") == "<" + "=" * 3_000_000 + ">"


@pytest.mark.parametrize("how", ["os.close(1)", "sys.stdout.close()", "sys.stdout = None"])
def test_a_driver_without_stdout_loses_nothing_else(finish: Finish, how: str) -> None:
    code, out, err = finish(f"""
        import os, sys
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def work(n):
            print("-" * 200_000)
            return n

        with WorkerPool(num_workers=2) as pool:
            pool.submit(abs, 1).result(30)
            {how}
            assert list(pool.map(work, range(20))) == list(range(20))
        print("done", file=sys.stderr)
        os._exit(0)
    """)
    assert (code, out, err) == (0, "", "done\n")


def test_a_driver_whose_reader_goes_away_finishes_its_work(script: Script) -> None:
    driver = script("""
        import sys
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def work(n):
            print("-" * 200_000)
            return n

        with WorkerPool(num_workers=2) as pool:
            assert sum(pool.map(work, range(20))) == 190
        print("done", file=sys.stderr)
    """)
    assert driver.stdout is not None
    assert driver.stderr is not None
    assert driver.stdout.read(8) == "[worker-"
    driver.stdout.close()
    assert driver.stderr.read() == "done\n"
    assert driver.wait(20) == 0


def test_workers_wait_for_a_driver_whose_output_nobody_reads(script: Script) -> None:
    driver = script("""
        import sys
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def work(n):
            for i in range(50_000):
                print(n, i)
            return n

        with WorkerPool(num_workers=2) as pool:
            futures = [pool.submit(work, n) for n in range(4)]
            print("submitted", file=sys.stderr)
        assert [future.result(0) for future in futures] == [0, 1, 2, 3]
    """)
    assert driver.stdout is not None
    assert driver.stderr is not None
    assert driver.stderr.readline() == "submitted\n"
    out, err = driver.communicate(timeout=40)
    assert (driver.returncode, err) == (0, "")
    lines = [line.split("] ")[1] for line in out.splitlines()]
    for n in range(4):
        assert [line for line in lines if line.startswith(f"{n} ")] == [f"{n} {i}" for i in range(50_000)]


def test_what_stands_in_for_the_drivers_streams_gets_the_output(
    client: IrisClient, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def work() -> None:
        print("printed")
        print("complained", file=sys.stderr)
        logging.getLogger("app").warning("logged")

    with WorkerPool(client, num_workers=1) as pool:
        pool.submit(work).result(30)
    assert tuple(capsys.readouterr()) == ("[worker-0] printed\n", "[worker-0] complained\n")
    assert [record.getMessage() for record in caplog.records] == ["[worker-0] logged"]


def test_records_of_tasks_and_initializers_are_the_drivers(finish: Finish) -> None:
    code, out, err = finish("""
        import logging
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        log = logging.getLogger("app.part")

        def initialize():
            log.debug("not shown")
            log.info("ready")

        def work(n):
            log.warning("working on %d", n, extra={"user": "ann"})

        logging.basicConfig(
            level="INFO", stream=__import__("sys").stdout,
            format="%(levelname)s %(name)s %(worker)s %(message)s", force=True,
        )
        logging.getLogger("iris_actor").setLevel("ERROR")
        with WorkerPool(num_workers=1, initializer=initialize) as pool:
            pool.submit(work, 5).result(30)
    """)
    assert (code, err) == (0, "")
    assert out == (
        "INFO app.part worker-0 [worker-0] ready\nWARNING app.part worker-0 [worker-0] working on 5\n"
    )


def test_without_any_configuration_warnings_appear_once_on_stderr(finish: Finish) -> None:
    code, out, err = finish("""
        import logging
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def work():
            logging.info("not shown")
            logging.getLogger("app").warning("shown")

        with WorkerPool(num_workers=1) as pool:
            pool.submit(work).result(30)
    """)
    assert (code, out, err) == (0, "", "[worker-0] shown\n")


def test_a_configuration_of_the_workers_own_wins(finish: Finish) -> None:
    code, out, err = finish("""
        import logging
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def work():
            logging.info("from the task")

        options = {"level": "INFO", "format": "mine: %(message)s"}
        with WorkerPool(num_workers=1, initializer=lambda: logging.basicConfig(**options)) as pool:
            pool.submit(work).result(30)
    """)
    assert (code, out, err) == (0, "", "[worker-0] mine: from the task\n")


def test_a_pool_inside_a_task_passes_its_workers_records_up(finish: Finish) -> None:
    code, out, err = finish("""
        import logging
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def inner():
            logging.getLogger("app").info("deep")
            print("down")

        def outer():
            with WorkerPool(num_workers=1) as pool:
                pool.submit(inner).result(30)

        if __name__ == "__main__":
            logging.getLogger("app").setLevel("INFO")
            logging.getLogger("app").addHandler(logging.StreamHandler())
            with WorkerPool(num_workers=1) as pool:
                pool.submit(outer).result(40)
    """)
    assert (code, out, err) == (0, "[worker-0] [worker-0] down\n", "[worker-0] [worker-0] deep\n")


def test_the_last_records_are_among_the_last_words_of_a_lost_worker(finish: Finish) -> None:
    code, out, _ = finish("""
        import logging, os
        from iris_actor.errors import WorkerLostError
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def work():
            logging.getLogger("app").error("about to end")
            os._exit(3)

        with WorkerPool(num_workers=1, max_retries=0) as pool:
            try:
                pool.submit(work).result(30)
            except WorkerLostError as error:
                print(error.exit_code, error.stderr)
    """)
    assert (code, out) == (0, "3 ERROR app: about to end\n")


def test_a_child_forked_while_a_line_is_written_can_show_bars(finish: Finish) -> None:
    code, out, err = finish("""
        import os, sys, threading
        from tqdm import tqdm
        from iris_actor.work.launch.output.output_pump import OutputPump

        class Stuck:
            def __init__(self):
                self.reached, self.go_on = threading.Event(), threading.Event()
            def write(self, text):
                self.reached.set()
                self.go_on.wait(30)
            def flush(self):
                pass

        pump = OutputPump()
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        pump.add("w", out, err)
        kept, sys.stdout = sys.stdout, Stuck()
        os.write(out_end, b"line\\n")
        sys.stdout.reached.wait(30)
        if os.fork() == 0:
            with open(os.devnull, "w") as nowhere:
                list(tqdm(range(3), file=nowhere))
            os._exit(7)
        code = os.waitstatus_to_exitcode(os.wait()[1])
        sys.stdout.go_on.set()
        sys.stdout = kept
        os.close(out_end)
        os.close(err_end)
        pump.close()
        print(code)
    """)
    assert (code, out, err) == (0, "7\n", "")
