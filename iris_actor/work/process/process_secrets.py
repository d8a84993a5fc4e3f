"""Process secrets: what a launcher tells a process and nobody else.

::

    LaunchSpec.secrets ─▶ a line of JSON ─▶ descriptor that the process inherits ─▶ take_secrets()
                                                 ▲
                      IRIS_SECRETS_FD ───────────┘ says which

A command line and an environment can be listed by others, on this machine or in a cluster's tools. A
descriptor cannot. Which kind it is (a file without a name, a pipe, standard input) is the launcher's choice:
the process reads one line, and not a byte more.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping

SECRETS_FD = "IRIS_SECRETS_FD"
"""Environment variable with the number of the descriptor that the secrets are read from."""


def new_secret() -> str:
    """A fresh secret of 256 bits, in printable ASCII."""
    return secrets.token_hex(32)


def secrets_line(values: Mapping[str, str]) -> bytes:
    """The line by which a launcher tells a process its secrets."""
    return json.dumps(dict(values)).encode() + b"\n"


def secrets_file(values: Mapping[str, str]) -> int:
    """A descriptor of a file in memory, without a name, that holds the secrets for one process to inherit."""
    fd = os.memfd_create("iris-secrets")
    try:
        os.write(fd, secrets_line(values))
        os.lseek(fd, 0, os.SEEK_SET)  # the process that inherits it reads on from here
    except BaseException:
        os.close(fd)
        raise
    return fd


def take_secrets() -> dict[str, str]:
    """The secrets that the launcher told this process; empty when it told none.

    They can be taken once: what this process starts itself finds neither them nor the variable. Standard
    input stays open, for its end may mean something; another descriptor is closed.

    Raises:
        ValueError: the descriptor holds no secrets.
        OSError: there is no such descriptor.
    """
    text = os.environ.pop(SECRETS_FD, None)
    if text is None:
        return {}
    fd = int(text)
    try:
        values = json.loads(_read_line(fd))
    finally:
        if fd != 0:
            os.close(fd)
    if not isinstance(values, dict):
        raise ValueError(f"descriptor {fd} holds no secrets")  # noqa: TRY004 - what is wrong is the content
    return values


def _read_line(fd: int) -> bytes:
    line = bytearray()
    # Byte by byte: what follows on standard input is not ours.
    while (byte := os.read(fd, 1)) not in {b"", b"\n"}:
        line += byte
    return bytes(line)
