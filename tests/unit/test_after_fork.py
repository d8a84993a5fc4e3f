"""What is done when user code forks: in one place, and in one order."""

from __future__ import annotations

import ast

from tests.support.processes import ROOT, run_script

PACKAGE = ROOT / "iris_actor"


def test_one_module_registers_hooks_with_python():
    found = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name | ast.Attribute | ast.alias)
        and "register_at_fork" in {getattr(node, name, None) for name in ("id", "attr", "name")}
    ]
    assert found == ["threads/after_fork.py"]


def test_stages_are_passed_inwards_before_a_fork_and_outwards_after_it():
    out = run_script(
        """
import os, sys
from functools import partial
from iris_actor.threads.after_fork import ForkStage, at_fork

said = []
# Not in their order: that of imports must not matter.
for stage in (ForkStage.SIGNALS, ForkStage.SOCKETS, ForkStage.HELD, ForkStage.CONNECTIONS):
    for number in (1, 2):
        say = partial(said.append, f"{stage.name} {number}")
        at_fork(stage, before=say, in_parent=say, in_child=say)

pid = os.fork()
if pid != 0:
    os.waitpid(pid, 0)
print("child" if pid == 0 else "parent", *said, sep=",", flush=True)
if pid == 0:
    os._exit(0)
"""
    )
    before = [
        f"{stage} {number}" for stage in ("SIGNALS", "HELD", "CONNECTIONS", "SOCKETS") for number in (2, 1)
    ]
    after = list(reversed(before))
    child, parent = (line.split(",") for line in out.splitlines())
    assert child == ["child", *before, *after]
    assert parent == ["parent", *before, *after]


def test_a_hook_that_fails_keeps_no_other_from_being_called():
    out = run_script(
        """
import logging, os, sys
from iris_actor.threads.after_fork import ForkStage, at_fork

logging.basicConfig(stream=sys.stdout, format="%(message)s")

def fail():
    raise ValueError("a fault of ours")

at_fork(ForkStage.SOCKETS, before=fail, in_parent=fail, in_child=fail)
at_fork(ForkStage.HELD, in_parent=lambda: print("parent"), in_child=lambda: print("child"))
pid = os.fork()
sys.stdout.flush()
if pid == 0:
    os._exit(0)
print("child ended with", os.waitpid(pid, 0)[1])
"""
    )
    lines = out.splitlines()
    assert lines.count("ValueError: a fault of ours") == 3, "once before, and once after in each process"
    assert "parent" in lines
    assert "child" in lines
    assert lines[-1] == "child ended with 0"


def test_an_interrupt_in_one_hook_keeps_no_other_from_being_called():
    out = run_script(
        """
import logging, os, signal, sys
from iris_actor.threads.after_fork import ForkStage, at_fork

logging.disable()
called = []

def interrupted():
    signal.raise_signal(signal.SIGINT)
    called.append("beyond the interrupt")

at_fork(ForkStage.SOCKETS, in_child=interrupted)
for stage in ForkStage:
    at_fork(stage, in_child=lambda stage=stage: called.append(stage.name))
pid = os.fork()
if pid == 0:
    print(*called, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""
    )
    assert out.split() == ["SOCKETS", "CONNECTIONS", "HELD", "SIGNALS"]
