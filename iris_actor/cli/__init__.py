"""cli: the ``iris-actor`` command, for people and for shell scripts.

::

    entry ── app ── etcd · ls · describe · call · serve · pool   one module a command
                       └── connection (who is where) · completion · json_values · failures · output
"""

from iris_actor.cli.entry import main

__all__ = ["main"]
