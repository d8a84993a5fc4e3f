"""What `import iris_actor` shows."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import inspect
import subprocess
import sys
import types

import iris_actor
from iris_actor import errors


def test_all_is_what_is_visible():
    visible = {
        name
        for name, value in vars(iris_actor).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    lazy = {name for name in dir(iris_actor) if not name.startswith("_")} - set(vars(iris_actor))
    modules = {"errors"}
    assert visible | lazy | modules | {"__version__"} == set(iris_actor.__all__)


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
