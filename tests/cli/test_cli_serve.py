"""`iris-actor serve`: from a class in a file to an actor that others call, and back."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from iris_actor import Credentials, RegistryResolver
from iris_actor.testing import EtcdProcess
from tests.cli.conftest import Cli, Start

MODULE = '''
import time

class Greeter:
    """Greets."""

    def __init__(self, greeting, *, mark="!"):
        self._greeting, self._mark = greeting, mark

    def greet(self, name):
        return f"{self._greeting} {name}{self._mark}"

    async def slow(self, seconds):
        import asyncio
        await asyncio.sleep(seconds)
        return "done"

ready = Greeter("Good day")

def failing():
    raise RuntimeError("no such model")
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "greeting_module.py").write_text(MODULE)
    (tmp_path / "broken_module.py").write_text("import nothing_like_this\n")
    return tmp_path


def address_of(process: subprocess.Popen[str], name: str) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(f"serving /{name} at 127.0.0.1:"), line
    return line.split(" at ")[1].split()[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_class_of_the_current_folder_is_served_until_a_signal_drains_it(
    start: Start, folder: Path, etcd: EtcdProcess, namespace: str, number: int
):
    options = ["--registry", etcd.url, "--namespace", namespace, "--max-concurrency", "4"]
    words = ["serve", "greeting_module:Greeter", "--name", "greeter", "--arg", "Hello", "-k", "mark=?"]
    process = start(*words, *options, cwd=folder)
    with RegistryResolver(etcd.url, namespace=namespace) as resolver:
        greeter = resolver.lookup("greeter")
        assert greeter.call(timeout=30).greet("world") == "Hello world?"
        (endpoint,) = greeter.endpoints()
        assert endpoint.pid == process.pid
        accepted = greeter.submit(timeout=30).slow(1.0)
        assert greeter.call(timeout=30).greet("again") == "Hello again?"  # so the other one is there too
        process.send_signal(number)
        assert accepted.result(timeout=30) == "done"
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert f"serving /{namespace}/greeter at {endpoint.address}" in out
    assert f"stopped serving /{namespace}/greeter" in out


def test_a_server_with_a_token_file_lets_in_who_has_the_token(
    start: Start, etcd: EtcdProcess, namespace: str, tmp_path: Path
):
    token = tmp_path / "token"
    token.write_text("secret")
    where = ["--registry", etcd.url, "--namespace", namespace]
    process = start("serve", "collections:Counter", "--name", "counter", "--token-file", str(token), *where)
    address_of(process, f"{namespace}/counter")
    with RegistryResolver(etcd.url, namespace=namespace, credentials=Credentials(token="secret")) as resolver:
        counter = resolver.lookup("counter")
        counter.call(timeout=30).update({"apples": 3})
        assert counter.call(timeout=30).most_common() == [("apples", 3)]
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing_like_this:Greeter"], "there is no module 'nothing_like_this'"),
        (["greeting_module"], "expected MODULE:CLASS"),
        (["greeting_module:Nobody"], "has no 'Nobody'"),
        (["greeting_module:Greeter"], "missing 1 required positional argument"),
        (["greeting_module:failing"], "cannot make failing: RuntimeError: no such model"),
        (["broken_module:Thing"], "cannot import broken_module"),
        (["greeting_module:Greeter", "--arg", "[1"], "begins like JSON"),
        (["greeting_module:Greeter", "--arg", "1", "--host", "0.0.0.0"], "without credentials"),
        (["greeting_module:Greeter", "--arg", "1", "--name", "bad name"], "bad segment"),
        (["greeting_module:Greeter", "--arg", "1", "--metadata", "zone"], "KEY=VALUE"),
    ],
)
def test_what_cannot_be_served_is_exit_code_2(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    ran = cli("serve", "--name", "greeter", *words)
    assert ran.code == 2
    assert said in ran.err
    assert ran.out == ""


def test_an_object_that_is_there_already_is_served_as_it_is(
    cli: Cli, start: Start, etcd: EtcdProcess, namespace: str
):
    where = ["--registry", etcd.url, "--namespace", namespace]
    process = start("serve", "string:hexdigits", "--name", "digits", "--quiet", *where)
    assert json.loads(cli("call", "digits.count", "a", "--wait", "30").out) == 1
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0
