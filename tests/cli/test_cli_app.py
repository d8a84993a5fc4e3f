"""The command line as a whole: version, help, and what is lazy about it."""

from __future__ import annotations

import pytest

import iris_actor
from iris_actor.cli.failures import UsageError
from iris_actor.cli.json_values import json_value, key_values
from tests.cli.conftest import Cli
from tests.support.processes import run_script


def test_the_version_is_that_of_the_package(bare_cli: Cli):
    ran = bare_cli("--version")
    assert (ran.code, ran.out) == (0, f"iris-actor {iris_actor.__version__}\n")


def test_the_help_shows_every_command_and_how_to_begin(bare_cli: Cli):
    ran = bare_cli("--help")
    assert ran.code == 0
    for command in ("etcd", "ls", "describe", "call", "serve", "pool"):
        assert command in ran.out
    assert "iris-actor etcd --port 2379" in ran.out
    assert "130 Ctrl-C" in ran.out


@pytest.mark.parametrize("command", ["etcd", "ls", "describe", "call", "serve", "pool"])
def test_each_command_has_help_with_examples(bare_cli: Cli, command: str):
    ran = bare_cli(command, "--help")
    assert ran.code == 0
    assert "Examples:" in ran.out
    assert f"iris-actor {command}" in ran.out.split("Examples:")[1]


def test_an_unknown_command_is_exit_code_2(bare_cli: Cli):
    ran = bare_cli("destroy")
    assert ran.code == 2
    assert "destroy" in ran.err


def test_importing_the_command_line_loads_no_more_than_the_package_does():
    script = """
import sys
import iris_actor
before = set(sys.modules)
import iris_actor.cli
new = {name.split(".")[0] for name in set(sys.modules) - before}
print(sorted(new & {"rich", "etcd3", "grpc", "numpy", "cloudpickle", "tqdm"}))
"""
    assert run_script(script) == "[]\n"


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1", 1),
        ("1e3", 1000.0),
        ("null", None),
        ("nul", "nul"),
        ("", ""),
        ("a=b", "a=b"),
        ("Infinity", "Infinity"),
    ],
)
def test_a_word_is_json_or_itself(word: str, value: object):
    assert json_value(word) == value


@pytest.mark.parametrize("word", ["[1", '{"a": }', '"open'])
def test_a_word_that_begins_like_json_must_be_json(word: str):
    with pytest.raises(UsageError, match="begins like JSON"):
        json_value(word)


def test_keys_and_values_are_split_at_the_first_sign():
    assert key_values(["a=1=2", "b="], "-k") == {"a": "1=2", "b": ""}
    with pytest.raises(UsageError, match="twice"):
        key_values(["a=1", "a=2"], "-k")
