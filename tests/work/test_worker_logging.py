"""Records of `logging` from a worker to the driver, with processes that start as workers do."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator

import pytest
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from iris_actor.work.launch.output.output_pump import Output, OutputPump
from iris_actor.work.process.log_sender import MAX_TEXT, driver_levels

HEAD = """
import contextlib, logging, logging.config, os, subprocess, sys, threading, warnings
from iris_actor.work.process.log_sender import install
install(os.environ["LEVELS"])
"""


class Worker:
    """Runs programs as worker "w", and keeps the text that they wrote."""

    def __init__(self) -> None:
        self.text = {"stdout": "", "stderr": ""}

    def __call__(self, source: str) -> Output:
        def sink(stream: str, text: str) -> None:
            self.text[stream] += text

        pump = OutputPump(sink)
        process = subprocess.Popen(
            [sys.executable, "-c", HEAD + textwrap.dedent(source)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LEVELS": driver_levels()},
        )
        fds = [os.dup(stream.fileno()) for stream in (process.stdout, process.stderr) if stream is not None]
        output = pump.add("w", *fds)
        process.wait(30)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
        assert output.wait_ended(30)
        pump.close()
        assert process.returncode == 0, self.text["stderr"]
        return output


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def app() -> Iterator[logging.Logger]:
    """A logger of the driver's, enabled from INFO on."""
    logger = logging.getLogger("app")
    logger.setLevel(logging.INFO)
    yield logger
    logger.setLevel(logging.NOTSET)
    logger.handlers.clear()
    logger.filters.clear()
    logger.propagate = True


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_record_arrives_as_it_was_made_and_marked(
    worker: Worker, app: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    worker("""
        def work():
            extra = {"user": "ann", "odd": {1, 2}}
            logging.getLogger("app.part").info("step %d of %s", 3, "7\\n8", extra=extra)
        thread = threading.Thread(target=work, name="helper")
        thread.start()
        thread.join()
    """)
    (record,) = caplog.records
    assert (record.name, record.levelno, record.levelname) == ("app.part", logging.INFO, "INFO")
    assert record.getMessage() == "[w] step 3 of 7\n[w] 8"
    assert (record.funcName, record.threadName, record.filename) == ("work", "helper", "<string>")
    assert record.process != os.getpid()
    fields = vars(record)
    assert (fields["worker"], fields["user"], fields["odd"]) == ("w", "ann", "{1, 2}")
    assert worker.text == {"stdout": "", "stderr": ""}


def test_a_traceback_arrives_each_line_marked(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    worker("""
        try:
            1 / 0
        except ZeroDivisionError:
            logging.exception("it failed")
        logging.warning("here", stack_info=True)
    """)
    lines = caplog.text.splitlines()
    assert lines[0].endswith("[w] it failed")
    assert lines[1] == "[w] Traceback (most recent call last):"
    assert "[w] ZeroDivisionError: division by zero" in lines
    assert "[w] Stack (most recent call last):" in lines


def test_records_show_exactly_where_they_would_in_the_driver(
    worker: Worker, app: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    quiet, loud = logging.getLogger("app.quiet"), logging.getLogger("app.some.loud")
    quiet.setLevel(logging.ERROR)
    loud.setLevel(logging.DEBUG)
    try:
        worker("""
            below = "app.quiet.below", "app.some.loud.below"
            for name in (None, "app", "app.quiet", below[0], "app.some", below[1], "else"):
                for level in (10, 20, 30, 40):
                    logging.getLogger(name).log(level, "%s %s", name, level)
        """)
    finally:
        quiet.setLevel(logging.NOTSET)
        loud.setLevel(logging.NOTSET)
    least = {
        "None": 30, "app": 20, "app.quiet": 40, "app.quiet.below": 40,
        "app.some": 20, "app.some.loud.below": 10, "else": 30,
    }  # fmt: skip
    expected = [f"[w] {name} {level}" for name, from_ in least.items() for level in range(from_, 50, 10)]
    assert messages(caplog) == expected


def test_records_below_the_drivers_level_are_not_even_formatted(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    source = """
        class Costly:
            def __str__(self):
                print("formatted")
                return "costly"
        logging.getLogger("app").info("%s", Costly())
        logging.info("%s", Costly())
        logging.getLogger("app").error("%s", Costly())
    """
    worker(source)
    assert worker.text["stdout"] == "[w] formatted\n"
    assert messages(caplog) == ["[w] costly"]
    logging.disable(logging.CRITICAL)
    try:
        worker(source)
    finally:
        logging.disable(logging.NOTSET)
    assert worker.text["stdout"] == "[w] formatted\n"


def test_the_drivers_filters_and_handlers_apply(
    worker: Worker, app: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s|%(worker)s|%(message)s"))
    app.addHandler(handler)
    app.addFilter(lambda record: "secret" not in record.getMessage())
    app.propagate = False
    worker("""
        logging.getLogger("app").warning("a secret")
        logging.getLogger("app").warning("no more")
    """)
    assert stream.getvalue() == "WARNING|w|[w] no more\n"
    assert caplog.records == []


def test_a_driver_without_configuration_shows_warnings_once_on_stderr(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    worker("""
        logging.info("not this")
        logging.warning("but this")
    """)
    assert screen.getvalue() == "[w] but this\n"
    assert worker.text["stderr"] == ""


def test_records_stand_between_lines_and_inside_them_without_tearing_them(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    class Order(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(f"record {record.getMessage()} after {worker.text['stderr']!r}")

    monkeypatch.setattr(logging.getLogger(), "handlers", [Order()])
    worker("""
        os.write(2, b"first\\nbegun, ")
        logging.warning("one")
        os.write(2, b"ended\\n")
        logging.warning("two")
    """)
    # What is begun shows when it is complete.
    assert seen == [
        "record [w] one after '[w] first\\n'",
        "record [w] two after '[w] first\\n[w] begun, ended\\n'",
    ]
    assert worker.text["stderr"] == "[w] first\n[w] begun, ended\n"


def test_long_records_are_not_torn_by_other_writers(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    worker("""
        import random
        def log(letter):
            for _ in range(30):
                logging.warning(letter * 50_000)
        def write():
            for _ in range(300):
                os.write(2, b"-" * 10_000 + b"\\n")
        def run():
            program = "for _ in range(300): print('=' * 10_000, flush=True)"
            subprocess.run([sys.executable, "-c", program], stdout=2)
        threads = [threading.Thread(target=log, args=(letter,)) for letter in "abc"]
        threads += [threading.Thread(target=write), threading.Thread(target=run)]
        children = []
        for letter in "de":
            if (pid := os.fork()) == 0:
                log(letter)
                os._exit(0)
            children.append(pid)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for pid in children:
            os.waitpid(pid, 0)
    """)
    expected = [f"[w] {letter * 50_000}" for letter in "abcde" for _ in range(30)]
    assert sorted(messages(caplog)) == expected
    # Writes of others that are this long may mix with each other, as ever, but nothing is lost.
    text = worker.text["stderr"]
    assert (text.count("-"), text.count("=")) == (3_000_000, 3_000_000)
    assert set(text.replace("[w] ", "")) == {"-", "=", "\n"}


def test_a_record_that_is_too_long_is_cut_and_says_so(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker(f"""
        logging.warning("x" * {MAX_TEXT + 7}, extra={{"big": "y" * 2_000_000, "small": 1}})
    """)
    (record,) = caplog.records
    assert record.getMessage() == f"[w] {'x' * MAX_TEXT}… (7 more characters)"
    assert not hasattr(record, "big")


def test_basic_config_in_a_worker_works_as_if_ours_were_not_there(
    worker: Worker, app: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    worker("""
        logging.getLogger("app").warning("before")
        logging.basicConfig(format="mine: %(message)s")
        assert logging.getLogger().level == logging.WARNING
        assert logging.getLogger("app").level == logging.NOTSET
        logging.getLogger("app").info("too low")
        logging.getLogger("app").warning("after")
        logging.basicConfig(format="ignored: %(message)s")
        logging.warning("last")
    """)
    assert messages(caplog) == ["[w] before"]
    assert worker.text["stderr"] == "[w] mine: after\n[w] mine: last\n"


def test_forced_basic_config_works_too(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    worker("""
        logging.basicConfig(force=True, level="INFO", format="mine: %(message)s")
        logging.info("shown")
    """)
    assert caplog.records == []
    assert worker.text["stderr"] == "[w] mine: shown\n"


@pytest.mark.parametrize("root", [True, False])
def test_dict_config_in_a_worker_works_as_if_ours_were_not_there(
    worker: Worker, app: logging.Logger, caplog: pytest.LogCaptureFixture, root: bool
) -> None:
    of_root, of_app = (
        "'root': {'level': 'INFO', 'handlers': ['h']}",
        "'loggers': {'app': {'handlers': ['h']}}",
    )
    worker(f"""
        logging.config.dictConfig({{
            "version": 1,
            "formatters": {{"f": {{"format": "mine: %(message)s"}}}},
            "handlers": {{"h": {{"class": "logging.StreamHandler", "formatter": "f"}}}},
            {of_root if root else of_app},
        }})
        logging.getLogger("app").info("low")
        logging.getLogger("app").warning("high")
    """)
    assert caplog.records == []
    low = "[w] mine: low\n" if root else ""
    assert worker.text["stderr"] == low + "[w] mine: high\n"


def test_what_a_handler_of_the_workers_own_takes_arrives_once_as_its_text(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker("""
        logging.getLogger("library").addHandler(logging.NullHandler())
        logging.getLogger("app").addHandler(logging.StreamHandler())
        logging.getLogger("app.part").warning("one")
        logging.getLogger("library").warning("two")
    """)
    assert worker.text["stderr"] == "[w] one\n"
    assert messages(caplog) == ["[w] two"]


def test_the_functions_of_logging_configure_nothing(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    worker("""
        before = logging.getLogger().handlers[:]
        logging.info("not shown")
        logging.warning("shown")
        assert logging.getLogger().handlers == before
    """)
    assert messages(caplog) == ["[w] shown"]
    assert worker.text["stderr"] == ""


def test_loggers_are_of_the_class_that_the_worker_sets(worker: Worker, app: logging.Logger) -> None:
    worker("""
        class Mine(logging.Logger):
            def trace(self, text):
                print("trace", text)
        logging.setLoggerClass(Mine)
        logging.getLogger("app").trace("works")
        assert logging.getLogger("app").getEffectiveLevel() == logging.INFO
    """)
    assert worker.text["stdout"] == "[w] trace works\n"


def test_warnings_arrive_as_text_of_stderr(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    worker("""warnings.warn("take care")""")
    assert "UserWarning: take care" in worker.text["stderr"]
    assert caplog.records == []


def test_what_fails_in_logging_does_not_reach_the_task(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker("""
        class Bad:
            def __str__(self):
                raise RuntimeError("no text")
            __repr__ = __str__
        loop = []
        loop.append(loop)
        logging.warning(Bad())
        logging.warning("%d", "no number")
        logging.warning("attached", extra={"bad": Bad()})
        logging.warning("endless", extra={"loop": loop})
        logging.getLogger().handlers[0].addFilter(lambda record: 1 / 0)
        logging.warning("not filtered")
        logging.getLogger().handlers[0].filters.clear()
        sys.stderr = None
        logging.warning("%d", "no number")
        sys.stderr = object()
        logging.warning("%d", "no number")
        sys.stderr = sys.__stderr__
        logging.warning("good")
    """)
    assert messages(caplog) == ["[w] attached", "[w] endless", "[w] good"]
    assert "no text" in worker.text["stderr"]


def test_records_take_their_own_way_whatever_a_task_does_with_stderr(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker("""
        import io, tempfile
        captured = io.StringIO()
        with contextlib.redirect_stderr(captured):
            logging.warning("one")
        with tempfile.TemporaryFile() as file:
            kept = os.dup(2)
            os.dup2(file.fileno(), 2)
            logging.warning("two")
            os.write(2, b"into the file")
            os.dup2(kept, 2)
            file.seek(0)
            assert file.read() == b"into the file"
        assert captured.getvalue() == ""
        logging.warning("three")
        os.close(2)
        logging.warning("four")
    """)
    assert messages(caplog) == ["[w] one", "[w] two", "[w] three", "[w] four"]


def test_no_file_gets_records_that_has_taken_the_place_of_a_closed_descriptor(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker("""
        import tempfile
        os.closerange(3, 100)
        files = [tempfile.TemporaryFile() for _ in range(20)]
        logging.warning("by stderr")
        os.dup2(files[0].fileno(), 2)
        logging.warning("as text")
        contents = [os.pread(file.fileno(), 100, 0) for file in files]
        assert contents == [b"as text\\n"] + [b""] * 19, contents
    """)
    assert messages(caplog) == ["[w] by stderr"]


def test_a_pipe_that_was_made_non_blocking_loses_nothing(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker("""
        os.set_blocking(2, False)
        for number in range(2000):
            logging.warning("%d %s", number, "x" * 500)
    """)
    assert messages(caplog) == [f"[w] {number} {'x' * 500}" for number in range(2000)]


def test_a_handler_that_raises_in_the_driver_does_not_stop_the_rest(
    worker: Worker, app: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    class Bad(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "exit" in record.getMessage():
                sys.exit("in a handler")
            raise RuntimeError("handler broke")

    app.addHandler(Bad())
    worker("""
        logging.getLogger("app").warning("record")
        logging.getLogger("app").warning("exit")
        print("text", file=sys.stderr)
    """)
    assert worker.text["stderr"] == "[w] text\n"
    shown = capsys.readouterr().err
    assert "iris_actor: a logging handler failed: RuntimeError('handler broke')" in shown
    assert "in a handler" in shown


@pytest.mark.parametrize(
    "line",
    [
        b'\x1e{"name": "app", "levelno": 40, "mess',
        b'\x1e{"a": 1}',
        b'\x1e{"name": "app", "levelno": 40, "message": "x", "extra": 5}',
        b"\x1e" + b"[" * 3000,
        b"\x1e+1.1",
        b"\x1e.1.1 rest of nothing",
        b"\x1e",
        b"text\x1emore",
    ],
)
def test_what_only_looks_like_a_record_is_text(worker: Worker, line: bytes) -> None:
    worker(f"""os.write(2, {line!r} + b"\\nafter\\n")""")
    assert worker.text["stderr"] == f"[w] {line.decode()}\n[w] after\n"


def test_a_record_looks_like_a_line_among_the_last_words(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    output = worker("""
        print("one", file=sys.stderr)
        logging.getLogger("app").error("two\\nmore")
        try:
            1 / 0
        except ZeroDivisionError:
            logging.exception("three")
        os.write(2, b"four")
    """)
    lines = output.last_words.splitlines()
    assert lines[:4] == ["one", "ERROR app: two", "more", "ERROR root: three"]
    assert lines[-2:] == ["ZeroDivisionError: division by zero", "four"]


class BarAsLog(io.StringIO):
    """A bar's stream that logs what is drawn, as many programs have one."""

    def write(self, text: str) -> int:
        logging.getLogger("app").warning(text.strip())
        return len(text)


def _redirected(app: logging.Logger, stop: threading.Event) -> None:
    with logging_redirect_tqdm([app]), tqdm(mininterval=0) as bar:
        while not stop.is_set():
            bar.update()
            app.warning("driver")


def _drawn_by_logging(app: logging.Logger, stop: threading.Event) -> None:
    with tqdm(mininterval=0, file=BarAsLog()) as bar:
        while not stop.is_set():
            bar.update()


@pytest.mark.parametrize("show", [_redirected, _drawn_by_logging])
def test_bars_that_log_and_handlers_that_draw_do_not_wait_for_each_other_for_ever(
    worker: Worker,
    app: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    show: Callable[[logging.Logger, threading.Event], None],
) -> None:
    monkeypatch.setattr(tqdm, "monitor_interval", 0)
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    app.propagate = False
    app.addHandler(logging.StreamHandler(screen))
    stop = threading.Event()
    thread = threading.Thread(target=show, args=(app, stop), daemon=True)
    thread.start()
    worker("""
        for number in range(2000):
            logging.getLogger("app").warning("worker %d", number)
    """)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert screen.getvalue().count("[w] worker") == 2000
