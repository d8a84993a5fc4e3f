"""PoolDirectory: which pools of this user run here, and who may know."""

from __future__ import annotations

import dataclasses
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from iris_actor import Credentials
from iris_actor.work.pool.monitor.pool_directory import PoolDirectory, PoolEntry
from tests.support.processes import ROOT

ADDER = """
import sys
from pathlib import Path
from tests.work.test_pool_directory import PoolDirectory, entry
PoolDirectory([Path(sys.argv[1])]).add(entry("its"))
print("added", flush=True)
input()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "run"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def entry(pool: str = "demo", started_at: float = 1.0, credentials: Credentials | None = None) -> PoolEntry:
    return PoolEntry.of_this_process(
        pool, f"default/_workerpool/{pool}/monitor", "127.0.0.1:4000", started_at, credentials
    )


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_entry_is_found_as_it_was_added_until_its_file_is_removed(folder: Path) -> None:
    directory = PoolDirectory([folder])
    added = entry(credentials=Credentials(token="secret", ca="/ca.pem"))
    file = directory.add(added)
    assert directory.entries() == [added]
    assert directory.entries()[0].file == file
    assert directory.entries()[0].credentials == Credentials(token="secret", ca="/ca.pem")
    file.unlink()
    assert directory.entries() == []


def test_entries_come_in_order_of_their_start(folder: Path) -> None:
    directory = PoolDirectory([folder])
    for pool, started_at in (("c", 2.0), ("a", 3.0), ("b", 1.0)):
        directory.add(entry(pool, started_at))
    assert [found.pool for found in directory.entries()] == ["b", "c", "a"]


def test_pools_of_one_name_and_process_do_not_overwrite_each_other(folder: Path) -> None:
    directory = PoolDirectory([folder])
    assert directory.add(entry()) != directory.add(entry())
    assert len(directory.entries()) == 2


def test_nobody_else_may_read_the_folder_or_a_file_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        file = PoolDirectory([folder]).add(entry())
    finally:
        os.umask(before)
    assert (mode_of(folder), mode_of(file)) == (0o700, 0o600)
    assert list(folder.iterdir()) == [file], "nothing but whole files"


def test_neither_a_file_name_nor_the_text_of_an_entry_shows_the_token(folder: Path) -> None:
    added = entry(credentials=Credentials(token="secret"))
    assert "secret" not in str(PoolDirectory([folder]).add(added))
    assert "secret" not in repr(added)


@pytest.mark.parametrize("mode", [0o755, 0o701, 0o770])
def test_a_folder_that_is_open_to_others_is_neither_written_nor_read(folder: Path, mode: int) -> None:
    directory = PoolDirectory([folder])
    directory.add(entry())
    folder.chmod(mode)
    with pytest.raises(OSError, match=f"is open to other users .mode {mode:o}, must be 700"):
        directory.add(entry())
    assert directory.entries() == []


def test_a_link_in_the_place_of_the_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    folder.symlink_to(real)
    with pytest.raises(OSError, match="is no folder"):
        PoolDirectory([folder]).add(entry())
    assert list(real.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another user's")
def test_a_folder_of_another_user_is_not_used(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, -1)
    with pytest.raises(OSError, match="belongs to the user with the id 12345"):
        PoolDirectory([folder]).add(entry())
    assert PoolDirectory([folder]).entries() == []


def test_the_next_folder_is_taken_when_one_cannot_be_used_and_all_are_read(tmp_path: Path) -> None:
    refused, taken = tmp_path / "refused", tmp_path / "taken"
    refused.mkdir(mode=0o755)
    directory = PoolDirectory([refused, taken])
    assert directory.add(entry("first")).parent == taken
    refused.chmod(0o700)
    assert directory.add(entry("second", 2.0)).parent == refused
    assert [found.pool for found in directory.entries()] == ["first", "second"]


def test_the_variable_names_the_only_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRIS_RUNTIME_DIR", str(folder / "below"))
    assert PoolDirectory().add(entry()).parent == folder / "below"
    assert len(PoolDirectory().entries()) == 1


def test_what_a_killed_driver_left_is_ignored_and_removed(folder: Path) -> None:
    directory = PoolDirectory([folder])
    with subprocess.Popen(
        [sys.executable, "-c", ADDER, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == b"added\n"
        directory.add(entry("ours", started_at=2.0))
        assert [found.pool for found in directory.entries()] == ["its", "ours"]
        driver.kill()
        os.waitid(os.P_PID, driver.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
        assert [found.pool for found in directory.entries()] == ["ours"]
    assert len(list(folder.iterdir())) == 1


def test_a_process_that_got_the_number_of_a_dead_driver_is_not_taken_for_it(
    folder: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    directory = PoolDirectory([folder])
    directory.add(dataclasses.replace(entry(), pid=sleeper.pid))  # born when this process was
    assert directory.entries() == []
    assert list(folder.iterdir()) == []


def test_a_driver_of_another_machine_is_left_alone(folder: Path) -> None:
    directory = PoolDirectory([folder])
    elsewhere = dataclasses.replace(entry(), host="elsewhere", pid=2**22 + 1)
    directory.add(elsewhere)
    assert directory.entries() == [elsewhere]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "{}", '{"credentials": 1}', '{"credentials": null, "new": 1}']
)
def test_files_that_are_no_entries_of_this_version_are_left_alone(folder: Path, text: str) -> None:
    directory = PoolDirectory([folder])
    directory.add(entry())
    (folder / "other.json").write_text(text)
    (folder / "notes.txt").write_text("mine")
    assert len(directory.entries()) == 1
    assert len(list(folder.iterdir())) == 3


def test_a_user_without_pools_has_none(folder: Path) -> None:
    assert PoolDirectory([folder]).entries() == []
    assert not folder.exists(), "looking makes nothing"
