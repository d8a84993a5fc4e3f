"""`iris-actor ls`: who is where."""

from __future__ import annotations

import json
import os
import re
import socket

import pytest

from iris_actor.testing import EtcdProcess
from tests.cli.conftest import Calculator, Cli, Host
from tests.support.terminal import Terminal


def test_the_tree_shows_namespaces_names_and_endpoints(cli: Cli, host: Host, namespace: str):
    servers = [host(metadata={"zone": "a"}), host(metadata={"zone": "b"}), host("rl/curriculum")]
    ran = cli("ls")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == f"/{namespace}"
    assert sum("calculator" in line for line in lines) == 1
    assert sum("rl/curriculum" in line for line in lines) == 1
    for server in servers:
        (line,) = [line for line in lines if server.address in line]
        assert f"{socket.gethostname()} pid {os.getpid()}" in line
    assert sum("zone=a" in line for line in lines) == 1


def test_json_has_all_there_is_to_know(cli: Cli, host: Host, namespace: str):
    server = host(metadata={"zone": "a"})
    (actor,) = json.loads(cli("ls", "--json").out)
    assert (actor["name"], actor["namespace"], actor["actor"]) == (
        f"/{namespace}/calculator",
        namespace,
        "calculator",
    )
    (endpoint,) = actor["endpoints"]
    assert endpoint["address"] == server.address
    assert endpoint["pid"] == os.getpid()
    assert endpoint["metadata"] == {"zone": "a"}
    assert endpoint["actor_id"]
    assert endpoint["started_at"] > 0


def test_a_prefix_narrows_it_down_in_the_namespace_or_absolutely(cli: Cli, host: Host, namespace: str):
    host("rl/one")
    host("rl/two")
    host("other")
    assert [actor["actor"] for actor in json.loads(cli("ls", "rl/", "--json").out)] == ["rl/one", "rl/two"]
    absolute = json.loads(cli("ls", f"/{namespace}/oth", "--json").out)
    assert [actor["actor"] for actor in absolute] == ["other"]


def test_without_a_namespace_it_shows_all_of_them(cli: Cli, bare_cli: Cli, host: Host, namespace: str):
    host()
    host("/elsewhere/calculator")
    names = [actor["name"] for actor in json.loads(bare_cli("ls", "--json").out)]
    assert {f"/{namespace}/calculator", "/elsewhere/calculator"} <= set(names)
    assert names == sorted(names)


def test_the_frameworks_own_are_shown_only_when_asked_for(cli: Cli, host: Host):
    host().register("_internal/thing", Calculator(), _framework=True)
    assert [actor["actor"] for actor in json.loads(cli("ls", "--json").out)] == ["calculator"]
    shown = [actor["actor"] for actor in json.loads(cli("ls", "--json", "--all").out)]
    assert shown == ["_internal/thing", "calculator"]


def test_an_empty_namespace_says_so(cli: Cli, namespace: str):
    ran = cli("ls")
    assert ran.code == 0
    assert re.fullmatch(rf"no actors below /{namespace}/(; there are actors in .*)?\n", ran.out)
    assert json.loads(cli("ls", "--json").out) == []


def test_a_registry_that_is_away_is_exit_code_3(bare_cli: Cli):
    ran = bare_cli("ls", "--registry", "etcd://user:secret@127.0.0.1:1")
    assert ran.code == 3
    assert "127.0.0.1:1" in ran.err
    assert "secret" not in ran.err
    assert "Traceback" not in ran.err


def test_a_name_in_the_wrong_namespace_is_told_the_right_one(
    bare_cli: Cli, host: Host, etcd: EtcdProcess, namespace: str
):
    host()
    host("rl/curriculum")
    wrong = f"{namespace}-wrong"
    for name in ("calculator", "rl/", "rl"):
        right = "rl/curriculum" if name.startswith("rl") else "calculator"
        ran = bare_cli("ls", name, "--namespace", wrong, "--registry", etcd.url)
        assert ran.code == 0
        assert ran.out.startswith(f"no actors below /{wrong}/{name}: ")
        assert f"there is /{namespace}/{right}" in ran.out
    ran = bare_cli("ls", "--namespace", wrong, "--registry", etcd.url)
    assert namespace in ran.out.partition("there are actors in ")[2]


def test_a_misspelt_name_is_told_the_near_one(cli: Cli, host: Host, namespace: str):
    host()
    ran = cli("ls", "calculatr")
    assert f"no actor 'calculatr' in namespace '{namespace}', which has calculator" in ran.out


def test_a_registry_that_is_away_is_one_error_in_one_line(bare_cli: Cli):
    for command in (["ls"], ["describe", "a"], ["call", "a.b"]):
        ran = bare_cli(*command, "--registry", "etcd://127.0.0.1:1")
        assert ran.code == 3
        assert ran.out == ""
        assert len(ran.err.splitlines()) == 1
        assert ran.err.startswith("error: registry etcd://127.0.0.1:1 is not available")


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_addresses_and_names_survive_a_narrow_terminal(
    host: Host, etcd: EtcdProcess, namespace: str, columns: int
):
    servers = [host("inference", metadata={"gpu": "a100", "zone": "a"}) for _ in range(2)]
    arguments = ("--namespace", namespace, "--registry", etcd.url)
    with Terminal("ls", *arguments, columns=columns) as terminal:
        assert terminal.wait() == 0
        lines = terminal.text.splitlines()
    assert max(map(len, lines)) <= columns or columns == 40  # an actor id takes 40 with its indent
    assert any(line.endswith("inference") for line in lines)
    for server in servers:
        (line,) = [line for line in lines if server.address in line]
        assert line.strip("\u2502\u251c\u2514\u2500 ").startswith(server.address)
    assert sum(f"pid {os.getpid()}" in line for line in lines) == 2
    assert sum("gpu=a100" in line for line in lines) == 2


def test_in_a_pipe_each_endpoint_is_one_line(cli: Cli, host: Host, monkeypatch: pytest.MonkeyPatch):
    server = host(metadata={"gpu": "a100"})
    monkeypatch.setenv("COLUMNS", "40")
    (line,) = [line for line in cli("ls").out.splitlines() if server.address in line]
    assert f"pid {os.getpid()}" in line
    assert "gpu=a100" in line
