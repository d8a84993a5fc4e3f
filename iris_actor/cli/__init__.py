"""cli: the ``iris-actor`` command, for people and for shell scripts.

::

    app ── etcd · ls · describe · call · serve · pool   one module a command
              └── connection (who is where) · json_values · failures (exit codes) · output
"""

from iris_actor.cli.app import main

__all__ = ["main"]
