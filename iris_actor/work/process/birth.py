"""Birth: when a process was started.

A pid alone says little: the system gives the numbers of ended processes to others.
"""

from __future__ import annotations

import os
from pathlib import Path


def born(pid: int) -> int | None:
    """When process `pid` was started, in clock ticks since boot; 0 if nobody can tell, None if it is gone."""
    try:
        # The name of the program stands in parentheses, and may hold spaces and parentheses itself.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return None if fields[0] in {b"Z", b"X"} else int(fields[19])
    except (OSError, IndexError, ValueError):
        return None if Path("/proc/self/stat").exists() else _exists(pid)


def _exists(pid: int) -> int | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass  # another user's
    return 0
