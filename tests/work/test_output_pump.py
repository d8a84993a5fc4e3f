from __future__ import annotations

import io
import os
import sys
import threading
import tracemalloc
from functools import partial
from itertools import accumulate
from random import Random

import pytest
from tqdm import tqdm

from iris_actor.work.launch.output.output_lines import MAX_LINE, TAIL_LINES, OutputLines
from iris_actor.work.launch.output.output_pump import Output, OutputPump


class Pipes:
    """The write ends of a process's output, and what the pump made of it."""

    def __init__(self, pump: OutputPump, label: str) -> None:
        out_read, self.out = os.pipe()
        err_read, self.err = os.pipe()
        self.output: Output = pump.add(label, out_read, err_read)

    def close(self) -> None:
        os.close(self.out)
        os.close(self.err)
        assert self.output.wait_ended(20)


def write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


@pytest.fixture
def sunk() -> dict[str, str]:
    return {"stdout": "", "stderr": ""}


@pytest.fixture
def pump(sunk: dict[str, str]):
    def sink(stream: str, text: str) -> None:
        assert text.endswith("\n")
        sunk[stream] += text

    pump = OutputPump(sink)
    yield pump
    pump.close()


def test_each_line_is_marked_and_whole(pump: OutputPump, sunk: dict[str, str]) -> None:
    pipes = Pipes(pump, "worker-3")
    for piece in (b"one\ntw", b"o\n", b"\nno newline at the end"):
        os.write(pipes.out, piece)
    os.write(pipes.err, b"warn\n")
    pipes.close()
    assert sunk["stdout"] == "[worker-3] one\n[worker-3] two\n[worker-3] \n[worker-3] no newline at the end\n"
    assert sunk["stderr"] == "[worker-3] warn\n"


def test_lines_of_several_workers_do_not_mix(pump: OutputPump, sunk: dict[str, str]) -> None:
    pipes = [Pipes(pump, f"worker-{i}") for i in range(4)]

    def write(index: int) -> None:
        for _ in range(500):
            for piece in (b"a" * 10, b"b" * 10, b"\n"):
                os.write(pipes[index].out, piece)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in pipes:
        each.close()
    lines = sunk["stdout"].splitlines()
    assert sorted(set(lines)) == [f"[worker-{i}] aaaaaaaaaabbbbbbbbbb" for i in range(4)]
    assert len(lines) == 2000


def test_a_progress_bar_of_a_worker_shows_its_last_state_and_not_every_one(
    pump: OutputPump, sunk: dict[str, str]
) -> None:
    pipes = Pipes(pump, "w")
    for percent in range(101):
        os.write(pipes.err, b"\r%3d%%|####|" % percent)
    os.write(pipes.err, b"\n")
    pipes.close()
    lines = sunk["stderr"].splitlines()
    assert lines[-1] == "[w] 100%|####|"
    assert len(lines) < 10


def test_the_last_lines_of_stderr_are_kept(pump: OutputPump) -> None:
    pipes = Pipes(pump, "w")
    for number in range(1000):
        os.write(pipes.err, b"line %d\n" % number)
    os.write(pipes.err, b"Fatal: end")
    pipes.close()
    words = pipes.output.last_words.splitlines()
    assert len(words) == TAIL_LINES
    assert words[-2:] == ["line 999", "Fatal: end"]


def test_a_flood_neither_blocks_its_writer_nor_fills_memory() -> None:
    count = 0

    def sink(_stream: str, text: str) -> None:
        nonlocal count
        count += text.count("\n")

    pump = OutputPump(sink)
    pipes = Pipes(pump, "w")
    block = b"x" * 63 + b"\n"
    tracemalloc.start()
    try:
        for _ in range(1000):
            os.write(pipes.out, block * 1000)
        pipes.close()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        pump.close()
    assert count == 1_000_000
    assert peak < 8 * 1024 * 1024


def test_a_line_without_end_is_passed_on_in_pieces(pump: OutputPump, sunk: dict[str, str]) -> None:
    pipes = Pipes(pump, "w")
    total = 3 * MAX_LINE
    written = 0
    while written < total:
        written += os.write(pipes.out, b"y" * (total - written))
    os.write(pipes.out, b"\n")
    pipes.close()
    assert sunk["stdout"].count("y") == total
    assert 2 <= sunk["stdout"].count("[w] ") <= 4


def test_a_long_line_is_not_cut_inside_a_character(pump: OutputPump, sunk: dict[str, str]) -> None:
    pipes = Pipes(pump, "w")
    line = "a" + "€" * MAX_LINE
    write_all(pipes.out, line.encode() + b"\n")
    pipes.close()
    assert sunk["stdout"].replace("[w] ", "").replace("\n", "") == line


def test_what_is_no_utf8_is_replaced_and_the_rest_arrives(pump: OutputPump, sunk: dict[str, str]) -> None:
    pipes = Pipes(pump, "w")
    garbage = bytes(byte for byte in range(256) if byte not in b"\r\n\x1b")
    write_all(pipes.out, b"before\n" + garbage + b"\nafter\n")
    write_all(pipes.err, b"before\n" + garbage * 1000 + b"\nafter\n")
    pipes.close()
    for text in sunk.values():
        lines = text.split("\n")
        assert all(line.startswith("[w] ") for line in lines[:-1])
        assert (lines[0], lines[-2]) == ("[w] before", "[w] after")
        assert "\x00\x01\x02" in text
        assert "0123456789" in text


def test_lines_that_end_as_on_windows_arrive_as_lines(pump: OutputPump, sunk: dict[str, str]) -> None:
    pipes = Pipes(pump, "w")
    for piece in (b"one\r", b"\ntwo\r\n", b"three\r\nfour"):
        os.write(pipes.out, piece)
    pipes.close()
    assert sunk["stdout"] == "[w] one\n[w] two\n[w] three\n[w] four\n"


def test_bars_below_each_other_show_now_and_then_and_move_no_cursor(
    pump: OutputPump, sunk: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tqdm, "monitor_interval", 0)
    pipes = Pipes(pump, "w")
    with os.fdopen(os.dup(pipes.err), "w") as stream:
        bar = partial(tqdm, file=stream, mininterval=0, ncols=60)
        for epoch in bar(range(20), desc="epochs"):
            for _ in bar(range(50), desc=f"epoch {epoch}", leave=False):
                pass
        stream.write("all done\n")
    pipes.close()
    lines = sunk["stderr"].splitlines()
    assert lines[-1] == "[w] all done"
    assert lines[-2].startswith("[w] epochs: 100%")
    assert len(lines) < 10
    assert "\x1b" not in sunk["stderr"]


def test_it_does_not_matter_in_which_pieces_output_comes() -> None:
    record = b'\x1e{"name": "app", "levelno": 40, "levelname": "ERROR", "message": "%d"}\n'
    parts = [
        b"one\n",
        "zwölf €\r\n".encode(),
        b"\n",
        b"begun \x1e{} and ended\n",
        b"beg",
        b"un\n",
        b"a\xffb\n",
    ]
    pieces = [parts[n % len(parts)] + (record % n if n % 3 else b"") for n in range(100)]
    data = b"".join(pieces)
    whole = read_in_pieces([data])
    assert sum(isinstance(item, int) for item in whole) == 66
    random = Random(7)
    for most in (1, 2, 5, 50, 1000):
        cuts = []
        while sum(cuts) < len(data):
            cuts.append(random.randint(1, most))
        ends = list(accumulate(cuts))
        assert read_in_pieces([data[end - cut : end] for end, cut in zip(ends, cuts, strict=True)]) == whole


def read_in_pieces(pieces: list[bytes]) -> list[bytes | int]:
    """Lines of text, and numbers for records."""
    lines = OutputLines("w", stderr=True)
    found: list[bytes | int] = []
    for passed in [*map(lines.feed, pieces), lines.finish()]:
        for item in passed:
            if isinstance(item, bytes):
                assert item.endswith(b"\n")
                found += item.splitlines()
            else:
                found.append(int(item.record.getMessage().removeprefix("[w] ")))
    return found


def test_colours_stay(pump: OutputPump, sunk: dict[str, str]) -> None:
    pipes = Pipes(pump, "w")
    os.write(pipes.out, b"\x1b[2K\x1b[31mred\x1b[0m\n")
    pipes.close()
    assert sunk["stdout"] == "[w] \x1b[31mred\x1b[0m\n"


def test_what_an_ended_process_wrote_is_waited_for_though_another_holds_its_pipes(
    pump: OutputPump, sunk: dict[str, str]
) -> None:
    pipes = Pipes(pump, "w")
    os.write(pipes.out, b"one\nunfinished")
    assert pipes.output.wait_ended(20)
    assert sunk["stdout"] == "[w] one\n[w] unfinished\n"
    os.write(pipes.out, b"two\n")
    pipes.close()
    assert sunk["stdout"].endswith("[w] two\n")


def test_waiting_for_the_output_ends_though_somebody_writes_for_ever(pump: OutputPump) -> None:
    pipes = Pipes(pump, "w")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            os.write(pipes.out, b"again\n" * 1000)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert pipes.output.wait_ended(20)
    finally:
        stop.set()
        writer.join()
    pipes.close()


def test_a_stream_that_takes_nothing_is_given_up_and_gets_all_when_it_takes_something_again() -> None:
    stuck, go_on = threading.Event(), threading.Event()
    taken: list[str] = []

    def sink(_stream: str, text: str) -> None:
        stuck.set()
        assert go_on.wait(20)
        taken.append(text)

    pump = OutputPump(sink)
    pipes = [Pipes(pump, f"w{i}") for i in range(20)]
    for each in pipes:
        os.write(each.out, b"text\n")
    assert stuck.wait(20)
    assert not any(each.output.wait_ended(0.1) for each in pipes)
    go_on.set()
    pump.close()
    assert sorted(taken) == sorted(f"[w{i}] text\n" for i in range(20))
    for each in pipes:
        each.close()


def test_closing_waits_for_a_slow_stream_as_long_as_it_takes_something() -> None:
    taken: list[str] = []

    def sink(_stream: str, text: str) -> None:
        # The time it takes is what is tested: longer than the timeout in all, not each for itself.
        threading.Event().wait(0.05)
        taken.append(text)

    pump = OutputPump(sink)
    pipes = [Pipes(pump, f"w{i}") for i in range(20)]
    for each in pipes:
        os.write(each.out, b"text\n")
    pump.close(timeout=0.5)
    assert len(taken) == 20
    for each in pipes:
        each.close()


class Broken(io.StringIO):
    def write(self, _text: str) -> int:
        raise RuntimeError("cannot take it")


class Closed(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.close()


@pytest.mark.parametrize("stream", [None, object(), Broken(), Closed()], ids=lambda each: type(each).__name__)
def test_a_stream_of_the_drivers_that_cannot_be_written_stops_nothing(
    stream: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    pump = OutputPump()
    with monkeypatch.context() as context:
        context.setattr(sys, "stdout", stream)
        context.setattr(sys, "stderr", stream)
        first = Pipes(pump, "a")
        os.write(first.out, b"lost\n")
        os.write(first.err, b"lost\n")
        first.close()
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    second = Pipes(pump, "b")
    os.write(second.out, b"seen\n")
    second.close()
    pump.close()
    assert screen.getvalue() == "[b] seen\n"


def test_a_stream_with_a_narrow_encoding_gets_the_text_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    pump = OutputPump()
    pipes = Pipes(pump, "w")
    write_all(pipes.out, "plain\nfünf €\n".encode())
    pipes.close()
    pump.close()
    assert raw.getvalue() == rb"[w] plain" + b"\n" + rb"[w] f\xfcnf \u20ac" + b"\n"


def test_a_bar_of_the_drivers_is_not_torn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tqdm, "monitor_interval", 0)
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    pump = OutputPump()
    with tqdm(total=10, file=screen, mininterval=0) as bar:
        bar.update(3)
        pipes = Pipes(pump, "w")
        os.write(pipes.err, b"from the worker\n")
        pipes.close()
    pump.close()
    assert "[w] from the worker\n" in screen.getvalue()
    before = screen.getvalue().split("[w] from the worker")[0]
    assert before.endswith("\r"), "the bar is taken away before the line is written"


def test_a_sink_that_fails_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    def sink(_stream: str, text: str) -> None:
        if "bad" in text:
            raise ValueError("cannot take it")
        seen.append(text)

    pump = OutputPump(sink)
    first, second = Pipes(pump, "a"), Pipes(pump, "b")
    os.write(first.out, b"bad\n")
    first.close()
    os.write(second.out, b"good\n")
    second.close()
    pump.close()
    assert seen == ["[b] good\n"]
    assert "cannot take it" in capsys.readouterr().err
