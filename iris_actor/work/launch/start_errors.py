"""Which errors of a start are worth another attempt."""

from __future__ import annotations

import errno

_FINAL = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EACCES,
        errno.EPERM,
        errno.ENOEXEC,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.E2BIG,
    }
)


def is_final(error: OSError) -> bool:
    """Whether a command that could not be started for `error` never will: it is the command that is wrong.

    A machine that is short of processes, memory or descriptors may have some later.
    """
    return error.errno in _FINAL
