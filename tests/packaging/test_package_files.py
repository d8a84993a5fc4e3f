"""What stands around the code: versions that agree, Pythons that are found."""

from __future__ import annotations

import re
import subprocess
import sys

import iris_actor
from tests.support.processes import ROOT


def find_python(which: str) -> subprocess.CompletedProcess[str]:
    script = str(ROOT / "scripts" / "find_python.sh")
    return subprocess.run([script, which], text=True, capture_output=True, check=False)


def test_the_citation_has_the_version_of_the_package():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == iris_actor.__version__


def test_the_readme_names_the_wheel_that_is_built():
    assert f"iris_actor-{iris_actor.__version__}-py3-none-any.whl" in (ROOT / "README.md").read_text()


def test_the_package_is_the_command():
    for module in ("iris_actor", "iris_actor.cli"):
        done = subprocess.run(
            [sys.executable, "-m", module, "--version"], cwd=ROOT, text=True, capture_output=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, f"iris-actor {iris_actor.__version__}\n")


def test_a_python_is_found_by_version_command_and_path():
    version = "{}.{}".format(*sys.version_info)
    by_version = find_python(version)
    by_command = find_python(f"python{version}")
    assert by_version.stdout == by_command.stdout != ""
    assert find_python(sys.executable).stdout == f"{sys.executable}\n"


def test_a_python_that_is_missing_is_named():
    done = find_python("3.99")
    assert done.returncode == 1
    assert "no Python 3.99 here" in done.stderr


def test_make_refuses_a_python_that_is_not_there():
    done = subprocess.run(
        ["make", "--dry-run", "test", "PYTHON=3.99"], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert done.returncode != 0
    assert "no Python 3.99 here" in done.stderr
