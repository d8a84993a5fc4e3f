"""What etcd's log says about why it ended."""

from __future__ import annotations

import json

_CRASH = ("panic:", "fatal error:", "runtime:")
_FINAL = frozenset({"fatal", "panic", "dpanic", "error"})
_KNOWN = frozenset({"level", "ts", "caller", "msg", "stacktrace"})
MOST = 400
"""Characters of a line that are quoted."""


def why_it_ended(log: str) -> str:
    """The line of `log` that tells most about an end, as one line for people; never empty."""
    crash = told = ""
    for line in log.splitlines():
        if line.startswith(_CRASH):
            crash = crash or line
        elif line.startswith("{"):
            told = _message(line) or told
    lines = log.strip().splitlines()
    found = told or crash or (lines[-1] if lines else "it wrote nothing")
    return found if len(found) <= MOST else f"{found[: MOST - 1]}…"


def _message(line: str) -> str:
    """What an entry of a level from error on says, with what it adds."""
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    if not isinstance(entry, dict) or entry.get("level") not in _FINAL:
        return ""
    more = ", ".join(f"{key}: {value}" for key, value in entry.items() if key not in _KNOWN)
    return f"{entry.get('msg', '')} ({more})" if more else str(entry.get("msg", ""))
