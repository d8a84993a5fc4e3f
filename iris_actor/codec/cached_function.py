"""CachedFunction: the type of a function behind `functools.lru_cache`."""

from __future__ import annotations

import functools
from typing import Any

CachedFunction: Any = functools._lru_cache_wrapper  # noqa: SLF001 - it has no public name
"""Typed as Any: stubs know it as a generic class, and not what ``isinstance`` takes."""
