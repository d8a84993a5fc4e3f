"""Which modules the far side may not have, so that what they define travels with its code."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

BY_VALUE = {"__main__", "__mp_main__"}
"""Names of modules that others do not have: the program itself, and what `travel_by_value` was told."""


def travels_by_value(obj: Any) -> bool:
    """Whether a function, a class, or what else has a name in a module, travels with its code.

    Otherwise it travels as its name.
    """
    module = getattr(obj, "__module__", None)
    if module is None or module in BY_VALUE or "<locals>" in getattr(obj, "__qualname__", ""):
        return True
    forced = _forced()
    return bool(forced) and any(module == name or module.startswith(f"{name}.") for name in forced)


def travel_by_value(module: ModuleType) -> None:
    """Have functions and classes of `module` travel by value, as those of ``__main__`` do.

    For modules that only this process can import. Applies to the whole process; thread-safe.
    """
    import cloudpickle

    cloudpickle.register_pickle_by_value(module)
    BY_VALUE.add(module.__name__)


def _forced() -> Any:
    """Names of the modules that cloudpickle was told to take by value, with all that is below them."""
    # As long as nobody imported it, nobody can have registered a module there.
    cloudpickle = sys.modules.get("cloudpickle")
    registry = getattr(
        cloudpickle, "list_registry_pickle_by_value", None
    )  # missing while it is being imported
    return registry() if registry is not None else ()
