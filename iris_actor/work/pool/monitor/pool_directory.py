"""PoolDirectory: small files from which a person's other programs learn what pools run on this machine.

::

    driver ── add() ──▶ /tmp/iris-actor-<uid>/<pool>@<pid>-<random>.json ◀── entries() ── iris-actor pool
              removes it at the end                                removes those whose driver is gone

A file tells where a pool's monitor listens and the token that it asks for, so the folder belongs to this user
and is closed to all others, or else it is not used.

The folder is not in ``XDG_RUNTIME_DIR`` if that can be helped: that one goes when the user logs out, and
drivers in tmux or under nohup outlive it. Nor does ``TMPDIR`` come first: batch systems give each job one of
its own, where nobody outside the job looks.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import stat
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from iris_actor.rpc.credentials import Credentials
from iris_actor.work.process.birth import born

RUNTIME_DIR = "IRIS_RUNTIME_DIR"
"""Environment variable with the folder to use, in place of those that are tried otherwise."""

_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class PoolEntry:
    """Where a pool can be watched.

    Attributes:
        pool: the pool's name.
        actor: full name of its monitor.
        address: ``host:port`` of the monitor's server.
        host: the driver's machine.
        pid: the driver's process id there.
        born: when that process was started, in the system's own count; None where that is not known.
        started_at: seconds since the epoch when the pool was made.
        credentials: what the server asks for; None when it asks for nothing.
        file: where this was read; None when it comes from elsewhere.
    """

    pool: str
    actor: str
    address: str
    host: str
    pid: int
    born: int | None
    started_at: float
    credentials: Credentials | None
    file: Path | None = field(default=None, compare=False)

    @classmethod
    def of_this_process(
        cls, pool: str, actor: str, address: str, started_at: float, credentials: Credentials | None
    ) -> Self:
        """The entry of a pool whose driver is this process."""
        pid = os.getpid()
        return cls(pool, actor, address, socket.gethostname(), pid, born(pid), started_at, credentials)

    @property
    def driver_is_gone(self) -> bool:
        """Whether the driver is known to run no more. Nothing is known of those on other machines."""
        if self.born is None or self.host != socket.gethostname():
            return False
        return born(self.pid) != self.born

    def to_json(self) -> str:
        """What `from_json` takes, secrets included."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "file"}
        fields["credentials"] = None if self.credentials is None else _credential_fields(self.credentials)
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str, file: Path | None = None) -> Self:
        """The entry that `to_json` wrote.

        Raises:
            ValueError, TypeError: the text is none.
        """
        fields: dict[str, Any] = json.loads(text)
        credentials = fields.pop("credentials")
        return cls(**fields, credentials=credentials and Credentials(**credentials), file=file)


def _credential_fields(credentials: Credentials) -> dict[str, str]:
    fields: dict[str, str] = {}
    for each in dataclasses.fields(credentials):
        value = getattr(credentials, each.name)
        if value is not None:
            is_file = each.name in {"ca", "cert", "key"}
            fields[each.name] = str(Path(value).absolute()) if is_file else value
    return fields


class PoolDirectory:
    """The pools of this user on this machine, those of other processes included. Thread-safe.

    Args:
        folders: where to write, the first one that can be used, and to read, all of them; the usual ones when
            None.
    """

    def __init__(self, folders: Sequence[Path] | None = None) -> None:
        self._folders = _usual_folders() if folders is None else tuple(folders)

    def add(self, entry: PoolEntry) -> Path:
        """Write a file for `entry`, whole or not at all; who removes it ends the entry.

        Raises:
            OSError: it can be written nowhere; says why.
        """
        reasons = []
        for folder in self._folders:
            try:
                _make_private(folder)
                return _write(folder, entry)
            except OSError as error:
                reasons.append(str(error))
        raise OSError("; ".join(reasons) or "there is no folder for temporary files")

    def entries(self) -> list[PoolEntry]:
        """The pools whose drivers run, in order of their start. Removes what dead drivers left."""
        found = []
        for folder in self._folders:
            try:
                _check_private(folder)
                files = [file for file in folder.iterdir() if file.suffix == _SUFFIX]
            except OSError:
                continue
            found += [entry for file in files if (entry := _read(file)) is not None]
        return sorted(found, key=lambda entry: (entry.started_at, entry.pid))


def _usual_folders() -> tuple[Path, ...]:
    chosen = os.environ.get(RUNTIME_DIR)
    if chosen:
        return (Path(chosen),)
    own = f"iris-actor-{os.geteuid()}"
    folders = [Path("/tmp", own)]  # noqa: S108 - `_check_private` sees to what makes it dangerous
    with suppress(OSError):  # no folder for temporary files can be written to
        folders.append(Path(tempfile.gettempdir(), own))
    session = os.environ.get("XDG_RUNTIME_DIR")
    if session:
        folders.append(Path(session, "iris-actor"))
    return tuple(dict.fromkeys(folders))


def _make_private(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    _check_private(folder)


def _check_private(folder: Path) -> None:
    """Anybody may make things in /tmp: what is there under our name need not be ours.

    Raises:
        PermissionError: the folder is not this user's alone.
        OSError: it is not there.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{folder} is no folder")
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to the user with the id {found.st_uid}")
    if stat.S_IMODE(found.st_mode) & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise PermissionError(f"{folder} is open to other users (mode {mode:o}, must be 700)")


def _write(folder: Path, entry: PoolEntry) -> Path:
    file = folder / f"{entry.pool}@{entry.pid}-{uuid.uuid4().hex[:8]}{_SUFFIX}"
    draft = file.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(entry.to_json())
        draft.rename(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return file


def _read(file: Path) -> PoolEntry | None:
    """The entry in `file`; None when there is none, or its driver is gone: then the file goes too."""
    try:
        entry = PoolEntry.from_json(file.read_text(encoding="utf-8"), file)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # removed just now, or of another version of ours
    if not entry.driver_is_gone:
        return entry
    with suppress(OSError):
        file.unlink()
    return None
