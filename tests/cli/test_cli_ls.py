"""`iris-actor ls`: who is where."""

from __future__ import annotations

import json
import os
import socket

from tests.cli.conftest import Calculator, Cli, Host


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
    assert (ran.code, ran.out) == (0, f"no actors below /{namespace}/\n")
    assert json.loads(cli("ls", "--json").out) == []


def test_a_registry_that_is_away_is_exit_code_3(bare_cli: Cli):
    ran = bare_cli("ls", "--registry", "etcd://user:secret@127.0.0.1:1")
    assert ran.code == 3
    assert "127.0.0.1:1" in ran.err
    assert "secret" not in ran.err
    assert "Traceback" not in ran.err
