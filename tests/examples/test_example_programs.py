"""Each example runs as its docstring says, and shows what it promises."""

from __future__ import annotations

import json
import re
import signal

from iris_actor.testing import EtcdProcess
from tests.examples.conftest import Run, Start


def served_at(process) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("serving /demo/calculator at "), line
    return line.split(" at ")[1].strip()


def test_quickstart_calls_in_every_way_and_drains_on_sigterm(start: Start, run: Run):
    with EtcdProcess() as own:
        server = start("examples/quickstart/server.py", own.url)
        served_at(server)
        out = run("examples/quickstart/client.py", own.url).stdout
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0
    assert "add(1, 2) = 3" in out
    assert "in any order: [0, 2, 4, 6]" in out
    assert "in asyncio: [0.5, 1.5, 2.5]" in out
    assert "a stream: 5 4 3 2 1" in out
    assert "ZeroDivisionError('division by zero')" in out
    assert "return a / b" in out
    assert "calls so far: 9" in out


def test_json_client_needs_nothing_but_grpc(start: Start, run: Run):
    with EtcdProcess() as own:
        server = start("examples/quickstart/server.py", own.url)
        address = served_at(server)
        called = run("examples/json_client.py", address, "calculator.add", "[1, 2]")
        assert json.loads(called.stdout) == 3
        assert "demo/calculator: add(a" in called.stderr
        raised = run("examples/json_client.py", address, "calculator.divide", "[1, 0]", code=1)
        assert raised.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
        # The last line of the example's docstring: the same by the command line.
        cli = run("-m", "iris_actor.cli", "call", "/demo/calculator.add", "1", "2", "--registry", own.url)
        assert json.loads(cli.stdout) == 3
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0


def test_json_client_imports_nothing_of_iris_actor(run: Run):
    script = "import sys, examples.json_client; print([m for m in sys.modules if m.startswith('iris_actor')])"
    assert run("-c", script).stdout == "[]\n"


def test_model_serving_shares_calls_and_streams_tokens(run: Run):
    lines = run("-m", "examples.model_serving").stdout.splitlines()
    assert lines[0].startswith("replicas: ")
    assert len(set(re.findall(r"127\.0\.0\.1:\d+", lines[0]))) == 2
    assert lines[1] == "round robin, answers of each replica: [5, 5]"
    assert len(lines[2].split()) == 3 + 12
    assert sum(line.startswith("together: ") for line in lines) == 4
    assert lines[-1].startswith("left early after: ")


def test_the_deadline_travels_to_the_actor_behind_the_actor(run: Run):
    lines = run("-m", "examples.deadlines").stdout.splitlines()
    assert lines[0] == "quick question: the answer to '6 * 7'"
    assert "DeadlineExceededError after 2." in lines[1]
    assert lines[2].endswith("answered")
    assert lines[3].endswith("cancelled")


def test_the_parameter_server_learns_to_balance_the_pole(run: Run):
    lines = run("-m", "examples.parameter_server").stdout.splitlines()
    scores = [float(line.split()[4]) for line in lines if line.startswith("update ")]
    assert scores[0] < 20
    assert scores[-1] >= 490
    pushed = json.loads(lines[-1].split(": ")[1])
    assert len(pushed) == 2
    assert min(pushed) > 0


def test_one_program_prints_the_same_on_both_executors(run: Run):
    stdlib = run("examples/executor.py", "--executor", "process").stdout
    assert run("examples/executor.py", "--executor", "iris").stdout == stdlib
    assert stdlib.startswith("pi is about 3.14")
