"""Switch: an environment variable with which a user turns off what is on by itself."""

from __future__ import annotations

import os


def is_on(variable: str) -> bool:
    """Whether `variable` does not say "off", "0", "no" or "false"."""
    return os.environ.get(variable, "").lower() not in {"off", "0", "no", "false"}
