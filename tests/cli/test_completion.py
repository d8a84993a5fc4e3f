"""Completion, by the protocol that bash speaks with the command."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from iris_actor import Credentials
from tests.cli.conftest import Host
from tests.support.processes import ROOT

Complete = Callable[..., list[str]]


def complete(*words: str, registry: str = "", **variables: str) -> list[str]:
    """What bash offers for the last of `words`; nothing else is printed, and the command does not fail."""
    line = ["iris-actor", *words]
    done = subprocess.run(
        [sys.executable, "-m", "iris_actor"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=30,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "_IRIS_ACTOR_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(line),
            "COMP_CWORD": str(len(line) - 1),
            "IRIS_REGISTRY": registry,
            **variables,
        },
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.fixture
def offered(etcd, namespace) -> Complete:
    """Completes in the test's namespace."""

    def ask(command: str, *words: str, **variables: str) -> list[str]:
        # A busy machine may take longer than people like to wait.
        variables.setdefault("IRIS_COMPLETION_TIMEOUT", "20")
        return sorted(complete(command, "--namespace", namespace, *words, registry=etcd.url, **variables))

    return ask


def test_commands():
    assert complete("") == ["etcd", "ls", "describe", "call", "serve", "pool"]
    assert complete("de") == ["describe"]


def test_names_of_actors(offered: Complete, host: Host):
    for name in ("calculator", "calendar", "rl/curriculum"):
        host(name)
    assert offered("describe", "") == ["calculator", "calendar", "rl/curriculum"]
    assert offered("describe", "cal") == ["calculator", "calendar"]
    assert offered("ls", "rl/") == ["rl/curriculum"]
    assert offered("describe", "nobody") == []


def test_a_name_with_its_namespace(offered: Complete, host: Host, namespace: str):
    host()
    assert offered("describe", f"/{namespace}/calc") == [f"/{namespace}/calculator"]


def test_several_names_first_and_then_the_methods_of_one(offered: Complete, host: Host, namespace: str):
    host("calculator")
    host("calendar")
    assert offered("call", "cal") == ["calculator.", "calendar."]
    methods = [f"calculator.{name}" for name in ("add", "countdown", "divide", "echo", "later", "opaque")]
    assert offered("call", "calcu") == methods
    assert offered("call", "calculator.") == methods
    assert offered("call", "calculator.ad") == ["calculator.add"]
    assert offered("call", f"/{namespace}/calculator.ad") == [f"/{namespace}/calculator.add"]


def test_names_that_begin_with_another_ones_are_not_in_its_methods_way(offered: Complete, host: Host):
    host("calculator")
    host("calculator2")
    assert offered("call", "calculator.ad") == ["calculator.add"]


def test_a_server_that_wants_a_token_gets_it(offered: Complete, host: Host):
    host(credentials=Credentials(token="a long secret"))
    assert offered("call", "calculator.ad", IRIS_TOKEN="a long secret") == ["calculator.add"]
    assert offered("call", "calculator.ad") == []


def test_no_registry_or_a_false_one_offers_nothing():
    assert complete("describe", "ca") == []
    assert complete("describe", "ca", registry="nonsense://") == []
    assert complete("describe", "ca", registry="etcd://127.0.0.1:1") == []


def test_a_registry_that_does_not_answer_holds_nobody_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        complete("--version")  # what the start of the command takes on this machine
        start = time.monotonic() - started
        started = time.monotonic()
        assert complete("call", "ca", registry=f"etcd://127.0.0.1:{silent.getsockname()[1]}") == []
        assert time.monotonic() - started < 5 * start + 5
