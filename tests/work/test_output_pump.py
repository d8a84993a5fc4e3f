from __future__ import annotations

import io
import os
import sys
import threading
import tracemalloc

import pytest
from tqdm import tqdm

from iris_actor.work.output_pump import MAX_LINE, TAIL_LINES, Output, OutputPump


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
