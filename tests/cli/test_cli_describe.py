"""`iris-actor describe`: what an actor can do."""

from __future__ import annotations

import json

from tests.cli.conftest import Cli, Host


def test_methods_come_with_signature_docstring_and_kind(cli: Cli, host: Host, namespace: str):
    server = host()
    ran = cli("describe", "calculator")
    assert ran.code == 0
    assert f"/{namespace}/calculator" in ran.out
    assert server.address in ran.out
    assert "Adds and divides." in ran.out
    assert "add(a: " in ran.out
    assert "The sum of `a` and `b`." in ran.out
    lines = [line.strip() for line in ran.out.splitlines()]
    assert any(line.startswith("async later()") for line in lines)
    assert any(line.startswith("countdown(") and line.endswith("stream") for line in lines)


def test_json_describes_the_first_endpoint_or_each(cli: Cli, host: Host):
    servers = [host(), host()]
    (first,) = json.loads(cli("describe", "calculator", "--json").out)
    assert first["endpoint"]["address"] == servers[0].address
    assert first["type"].endswith("Calculator")
    kinds = {method["name"]: method["kind"] for method in first["methods"]}
    assert kinds["add"] == "plain"
    assert kinds["later"] == "async"
    assert kinds["countdown"] == "generator"
    each = json.loads(cli("describe", "calculator", "--json", "--all").out)
    assert [actor["endpoint"]["address"] for actor in each] == [server.address for server in servers]


def test_an_unknown_name_is_exit_code_3(cli: Cli, host: Host):
    host()
    ran = cli("describe", "nobody")
    assert ran.code == 3
    assert "which has calculator" in ran.err
