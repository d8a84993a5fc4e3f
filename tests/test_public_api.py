"""What `import iris_actor` shows."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.resources
import inspect
import subprocess
import sys

import pytest

import iris_actor
from iris_actor import errors


def test_all_is_what_is_visible():
    visible = {name for name in dir(iris_actor) if not name.startswith("_")}
    assert visible | {"__version__"} == set(iris_actor.__all__)


def test_names_are_for_type_checkers_what_they_are_at_run_time():
    tree = ast.parse(inspect.getsource(iris_actor))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    checked = {
        alias.name: statement.module
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert checked.keys() | {"errors", "__version__"} == set(iris_actor.__all__)
    for name, module in checked.items():
        assert getattr(importlib.import_module(module), name) is getattr(iris_actor, name)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'ActorServr'"):
        _ = iris_actor.ActorServr
    with pytest.raises(ImportError, match="ActorServr"):
        from iris_actor import ActorServr  # noqa: F401


def test_a_worker_does_not_load_pools():
    script = (
        "import sys, iris_actor.work.worker.worker_main; "
        "print([m for m in sys.modules if m.startswith(('iris_actor.work.pool', 'iris_actor.actor.pool'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_has_no_doubles_and_every_name_is_there():
    assert len(set(iris_actor.__all__)) == len(iris_actor.__all__)
    for name in iris_actor.__all__:
        assert getattr(iris_actor, name) is not None


def test_everything_public_is_documented():
    for name in iris_actor.__all__:
        value = getattr(iris_actor, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), name
        if inspect.isclass(value):
            for method_name, member in vars(value).items():
                if not method_name.startswith("_") and inspect.isfunction(member):
                    assert inspect.getdoc(getattr(value, method_name)), f"{name}.{method_name}"


def test_every_error_is_reachable_from_the_errors_module():
    assert iris_actor.errors is errors
    assert issubclass(errors.CallError, errors.IrisError)


def test_the_package_is_typed():
    assert (importlib.resources.files("iris_actor") / "py.typed").is_file()


def test_the_version_is_the_distributions():
    assert importlib.metadata.version("iris-actor") == iris_actor.__version__


def test_importing_loads_neither_cloudpickle_nor_numpy():
    script = (
        "import sys, iris_actor; print([m for m in ('cloudpickle', 'numpy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_starts_no_thread_and_sets_nothing_up():
    script = "import threading, iris_actor; print([t.name for t in threading.enumerate()])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['MainThread']"
