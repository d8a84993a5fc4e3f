"""Entry: where the command begins, before what only the command needs is imported."""

from __future__ import annotations

import importlib.util
import sys

NEEDS = ("typer", "rich")
"""What the extra ``cli`` brings."""
_USAGE, _INTERRUPTED = 2, 130  # of ExitCode, whose module needs typer


def main() -> None:
    """Run the command line of this process; ends it with one of `ExitCode`."""
    missing = [module for module in NEEDS if importlib.util.find_spec(module) is None]
    if missing:
        print(
            f"iris-actor: the command needs {' and '.join(missing)}: pip install 'iris-actor[cli]'",
            file=sys.stderr,
        )
        sys.exit(_USAGE)
    try:
        from iris_actor.cli.app import app

        app(prog_name="iris-actor")  # also as `python -m iris_actor`
    except KeyboardInterrupt:  # while modules were imported: a command handles its own
        sys.exit(_INTERRUPTED)
