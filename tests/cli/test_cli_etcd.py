"""`iris-actor etcd`: a registry to try things with."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from iris_actor import connect_registry
from tests.cli.conftest import Start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_until_a_signal_and_says_how_to_use_it(start: Start, tmp_path: Path, number: int):
    process = start("etcd", "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("etcd is running at etcd://127.0.0.1:"), line
    url = line.split(" at ")[1].split()[0]
    with connect_registry(url) as registry:
        assert registry.list(timeout=20) == []
    process.send_signal(number)
    assert f"export IRIS_REGISTRY={url}" in process.stdout.read()
    assert process.wait(timeout=30) == 0
    assert (tmp_path / "data").is_dir()


def test_a_port_that_is_taken_is_an_error(start: Start, etcd):
    process = start("etcd", "--port", str(etcd.port))
    _, err = process.communicate(timeout=40)
    assert process.returncode == 3
    assert "Traceback" not in err
    assert "in use" in err
