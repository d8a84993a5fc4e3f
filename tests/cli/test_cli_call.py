"""`iris-actor call`: arguments, results, and the exit codes that scripts go by."""

from __future__ import annotations

import json
import signal
import threading

import pytest

from iris_actor import ActorServer, Credentials, Endpoint, connect_registry
from iris_actor.registry import ActorId
from iris_actor.testing import EtcdProcess
from tests.cli.conftest import Cli, Host, Start


def test_the_result_is_json_on_stdout_and_nothing_else(cli: Cli, host: Host):
    host()
    ran = cli("call", "calculator.add", "1", "2.5")
    assert (ran.code, json.loads(ran.out), ran.err) == (0, 3.5, "")


def test_arguments_are_json_values_and_bare_words_are_strings(cli: Cli, host: Host):
    host()
    words = ["1", "-2", "-2.5e1", "true", "null", "hello world", '"3"', "[1, 2]", '{"a": 1}', "NaN"]
    ran = cli("call", "calculator.echo", *words)
    assert ran.code == 0, ran.err
    (args, kwargs) = json.loads(ran.out)
    assert args == [1, -2, -25, True, None, "hello world", "3", [1, 2], {"a": 1}, "NaN"]
    assert kwargs == {}


def test_what_follows_two_dashes_is_an_argument(cli: Cli, host: Host):
    host()
    ran = cli("call", "calculator.echo", "--", "--timeout", "-9lives")
    assert json.loads(ran.out) == [["--timeout", "-9lives"], {}]


def test_keyword_arguments_come_as_an_object_or_one_by_one(cli: Cli, host: Host):
    host()
    ran = cli("call", "calculator.echo", "--kwargs", '{"a": 1}', "-k", "b=two", "--kwarg", "c=-3")
    assert json.loads(ran.out) == [[], {"a": 1, "b": "two", "c": -3}]


def test_an_absolute_name_crosses_namespaces(cli: Cli, host: Host, namespace: str):
    host("rl/calculator")
    ran = cli("call", f"/{namespace}/rl/calculator.add", "1", "--namespace", "elsewhere")
    assert json.loads(ran.out) == 1


def test_what_the_method_raises_is_one_line_on_stderr_and_exit_code_1(cli: Cli, host: Host):
    host()
    ran = cli("call", "calculator.divide", "1", "0")
    assert (ran.code, ran.out) == (1, "")
    assert "error: ZeroDivisionError: division by zero" in ran.err
    assert "Traceback" not in ran.err


def test_the_remote_traceback_is_shown_when_asked_for(cli: Cli, host: Host):
    host()
    ran = cli("call", "calculator.divide", "1", "0", "--traceback")
    assert ran.code == 1
    assert "return a / b" in ran.err
    assert "error: ZeroDivisionError" in ran.err


def test_a_result_that_has_no_json_form_is_exit_code_1(cli: Cli, host: Host):
    host()
    ran = cli("call", "calculator.opaque")
    assert ran.code == 1
    assert "JSON" in ran.err


def test_an_unknown_name_says_where_it_looked_and_what_is_there(cli: Cli, host: Host, namespace: str):
    host()
    ran = cli("call", "calculatr.add", "1")
    assert ran.code == 3
    assert f"no actor 'calculatr' in namespace '{namespace}', which has calculator" in ran.err


def test_an_unknown_name_that_is_in_another_namespace_says_so(cli: Cli, host: Host, namespace: str):
    host()
    ran = cli("call", "calculator.add", "1", "--namespace", "elsewhere")
    assert ran.code == 3
    assert "which has no actors" in ran.err
    assert f"/{namespace}/calculator" in ran.err.partition("there is")[2]


def test_an_unknown_method_says_which_there_are(cli: Cli, host: Host):
    host()
    ran = cli("call", "calculator.subtract", "1")
    assert ran.code == 3
    assert "add, countdown, divide" in ran.err


def test_the_timeout_is_exit_code_4(cli: Cli, host: Host):
    released = threading.Event()

    class Slow:
        def wait(self) -> None:
            released.wait(30)

    host("slow", Slow())
    try:
        ran = cli("call", "slow.wait", "--timeout", "0.2")
    finally:
        released.set()
    assert ran.code == 4


def test_a_name_that_appears_in_time_is_waited_for(cli: Cli, host: Host):
    late = threading.Timer(0.3, host)
    late.start()
    ran = cli("call", "calculator.add", "1", "1", "--wait", "20")
    late.join()
    assert json.loads(ran.out) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["calculator"], "expected NAME.METHOD"),
        (["calculator.add", '{"a'], "begins like JSON"),
        (["calculator.add", "-k", "a"], "KEY=VALUE"),
        (["calculator.add", "--kwargs", '{"a": 1}', "-k", "a=2"], "given twice"),
        (["calculator.add", "--kwargs", "[1]"], "JSON object"),
        (["bad name.add"], "bad segment 'bad name'"),
        (["calculator.add", "--nope"], "nope"),
        (["calculator.add", "--registry", "http://x"], "unknown scheme"),
        (["calculator.countdown", "3"], "add --stream"),
    ],
)
def test_what_makes_no_sense_is_exit_code_2(cli: Cli, host: Host, arguments: list[str], said: str):
    host()
    ran = cli("call", *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_without_a_registry_it_says_how_to_name_one(bare_cli: Cli):
    ran = bare_cli("call", "calculator.add")
    assert ran.code == 2
    assert "--registry" in ran.err
    assert "IRIS_REGISTRY" in ran.err


def test_a_generator_streams_a_json_value_a_line(cli: Cli, host: Host):
    host()
    ran = cli("call", "calculator.countdown", "3", "--stream")
    assert (ran.code, ran.out) == (0, "3\n2\n1\n")


def test_what_a_stream_raises_is_exit_code_1(cli: Cli, host: Host):
    host()
    ran = cli("call", "calculator.countdown", "word", "--stream", "--traceback")
    assert ran.code == 1
    assert "error: TypeError" in ran.err
    assert "yield from range" in ran.err


def test_an_endpoint_that_is_gone_is_passed_over(cli: Cli, host: Host, etcd: EtcdProcess, namespace: str):
    with connect_registry(etcd.url) as registry:
        registry.register(
            Endpoint(name=f"{namespace}/calculator", actor_id=ActorId("gone"), address="127.0.0.1:1")
        )
        host()
        assert json.loads(cli("call", "calculator.add", "1", "1").out) == 2
        ran = cli("call", "calculator.add", "1", "1", "--endpoint", "gone")
        assert ran.code == 3


def test_one_of_several_endpoints_can_be_chosen(cli: Cli, host: Host):
    first, second = (host(actor=Named(name)) for name in ("first", "second"))
    answers = [cli("call", "calculator.name", "--endpoint", s.address).out for s in (first, second)]
    assert [json.loads(answer) for answer in answers] == ["first", "second"]
    ran = cli("call", "calculator.name", "--endpoint", "127.0.0.1:9")
    assert ran.code == 3
    assert first.address in ran.err


class Named:
    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        return self._name


def test_a_server_with_a_token_is_called_with_the_token(cli: Cli, host: Host, monkeypatch, tmp_path):
    host(credentials=Credentials(token="secret"))
    refused = cli("call", "calculator.add", "1")
    assert refused.code == 3
    file = tmp_path / "token"
    file.write_text("secret\n")
    assert json.loads(cli("call", "calculator.add", "1", "--token-file", str(file)).out) == 1
    monkeypatch.setenv("IRIS_TOKEN", "secret")
    assert json.loads(cli("call", "calculator.add", "2").out) == 2


def test_ctrl_c_is_exit_code_130(start: Start, etcd: EtcdProcess, namespace: str):
    called, released = threading.Event(), threading.Event()

    class Slow:
        def wait(self) -> None:
            called.set()
            released.wait(30)

    server = ActorServer(etcd.url, namespace=namespace)
    try:
        server.register("slow", Slow())
        server.serve_background()
        process = start("call", f"/{namespace}/slow.wait", "--registry", etcd.url)
        assert called.wait(30)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        released.set()
        server.stop()
    assert process.returncode == 130
    assert "Traceback" not in err


def test_in_a_terminal_the_result_is_indented(cli: Cli, host: Host, monkeypatch: pytest.MonkeyPatch):
    host()
    words = ["call", "calculator.echo", '{"a": [1]}']
    assert cli(*words).out == '[[{"a": [1]}], {}]\n'
    monkeypatch.setattr("iris_actor.cli.output.in_terminal", lambda: True)
    out = cli(*words).out
    assert len(out.splitlines()) > 5
    assert json.loads(out) == [[{"a": [1]}], {}]
