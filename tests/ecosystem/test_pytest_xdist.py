"""Pools in the processes of pytest-xdist."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import psutil

SUITE = """
    import os
    from pathlib import Path

    import pytest
    from iris_actor import WorkerPool

    def note(pool):
        pid = pool.submit(os.getpid).result(30)
        (Path(__file__).parent / f"pid-{pid}").write_text(os.environ["PYTEST_XDIST_WORKER"])

    @pytest.fixture(scope="module")
    def pool():
        with WorkerPool(num_workers=2) as pool:
            yield pool

    def square(x):
        return x * x

    class Failure(Exception):
        pass

    def fail(x):
        raise Failure(x)

    @pytest.mark.parametrize("start", range(6))
    def test_map(pool, start):
        assert list(pool.map(square, range(start, start + 20))) == [n * n for n in range(start, start + 20)]
        note(pool)

    def test_an_exception_of_this_file(pool):
        with pytest.raises(Failure):
            pool.submit(fail, 3).result(20)
        note(pool)

    @pytest.mark.parametrize("number", range(4))
    def test_a_pool_of_its_own(number):
        with WorkerPool(num_workers=1) as pool:
            note(pool)
"""


def test_pools_may_be_made_in_every_process_of_xdist(tmp_path: Path):
    suite = tmp_path / "test_suite_with_pools.py"
    suite.write_text(textwrap.dedent(SUITE))
    # Without the plugin of pytest-asyncio, which warns of what this folder has not configured.
    options = ["-n", "2", "-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(suite)],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "11 passed" in done.stdout
    noted = {int(path.name.removeprefix("pid-")): path.read_text() for path in tmp_path.glob("pid-*")}
    assert len(noted) >= 4
    assert set(noted.values()) == {"gw0", "gw1"}
    assert not any(psutil.pid_exists(pid) for pid in noted)
